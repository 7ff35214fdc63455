/* Not a client: what a C library makes of each spelling of the metadata server. Linked with musl, as in Alpine's images, whose
   way through a search list is another than glibc's. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
	static const char *const names[] = { "metadata", "metadata.google.internal", "metadata.google.internal." };
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found, *entry;

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		printf("%s", names[i]);
		if (getaddrinfo(names[i], "80", &hints, &found) != 0) {
			printf(" -\n");
			continue;
		}
		for (entry = found; entry; entry = entry->ai_next) {
			char text[INET6_ADDRSTRLEN];
			const void *address = entry->ai_family == AF_INET
				? (const void *)&((struct sockaddr_in *)entry->ai_addr)->sin_addr
				: (const void *)&((struct sockaddr_in6 *)entry->ai_addr)->sin6_addr;

			printf("%c%s", entry == found ? ' ' : ',', inet_ntop(entry->ai_family, address, text, sizeof(text)));
		}
		printf("\n");
		freeaddrinfo(found);
	}
	return 0;
}
