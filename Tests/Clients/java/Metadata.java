import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.regex.Pattern;

/** Replays what google-auth-library-java asks, with the HTTP client that the first argument names. */
public final class Metadata {
    private static final String ACCOUNTS = "/computeMetadata/v1/instance/service-accounts/";

    private record Answer(int status, String flavor, String body) {}

    private interface Client {
        Answer get(URI uri) throws Exception;
    }

    private static Answer withHttpClient(HttpClient client, URI uri) throws Exception {
        HttpRequest request =
                HttpRequest.newBuilder(uri).header("Metadata-Flavor", "Google").timeout(Duration.ofSeconds(20)).build();
        HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
        return new Answer(response.statusCode(), flavor(response), response.body());
    }

    private static HttpClient httpClient(HttpClient.Version version) {
        return HttpClient.newBuilder().version(version).connectTimeout(Duration.ofSeconds(5)).build();
    }

    private static Client client(String name) {
        switch (name) {
            case "HttpURLConnection":
                return Metadata::withURLConnection;
            case "HttpClient-1.1":
                HttpClient client = httpClient(HttpClient.Version.HTTP_1_1);
                return uri -> withHttpClient(client, uri);
            case "HttpClient-2":
                // The default: every request offers an upgrade to HTTP/2.
                HttpClient upgrading = httpClient(HttpClient.Version.HTTP_2);
                return uri -> withHttpClient(upgrading, uri);
            default:
                throw new IllegalArgumentException(name);
        }
    }

    private static String flavor(HttpResponse<String> response) {
        return response.headers().firstValue("Metadata-Flavor").orElse("");
    }

    private static Answer withURLConnection(URI uri) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
        connection.setConnectTimeout(5_000);
        connection.setReadTimeout(20_000);
        connection.setRequestProperty("Metadata-Flavor", "Google");
        int status = connection.getResponseCode();
        try (var stream = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            String body = new String(stream.readAllBytes(), StandardCharsets.UTF_8);
            return new Answer(status, connection.getHeaderField("Metadata-Flavor"), body);
        }
    }

    /** An established IPv4-mapped connection of an AF_INET6 socket: only the IPv6 table of the kernel lists those. */
    private static boolean hasMappedConnection() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/net/tcp6"))) {
            String[] fields = line.trim().split("\\s+");
            if (fields[2].startsWith("0000000000000000FFFF0000") && fields[3].equals("01")) {
                return true;
            }
        }
        return false;
    }

    private static String expect(int status, Answer answer, String path) {
        if (answer.status != status || !"Google".equals(answer.flavor)) {
            throw new IllegalStateException(path + ": " + answer);
        }
        return answer.body;
    }

    public static void main(String[] arguments) throws Exception {
        Client client = client(arguments[0]);
        String host = System.getenv().getOrDefault("GCE_METADATA_HOST", "metadata.google.internal");
        String base = "http://" + host;
        String audience = System.getenv("AUDIENCE");
        expect(200, client.get(URI.create(base)), "/");
        String token = expect(200, client.get(URI.create(base + ACCOUNTS + "default/token")), "token");
        var matcher = Pattern.compile("\"access_token\":\"([^\"]+)\"").matcher(token);
        if (!matcher.find()) {
            throw new IllegalStateException("the answer holds no access token");
        }
        System.out.println("version java " + System.getProperty("java.version"));
        System.out.println("token " + matcher.group(1));
        if (!arguments[0].equals("HttpClient-2")) {
            // Where an upgrade is offered, the server keeps no connection to look at.
            System.out.println("socket " + (hasMappedConnection() ? "ipv4-mapped" : "other"));
        }
        String accounts = expect(200, client.get(URI.create(base + ACCOUNTS + "?recursive=true")), "recursive");
        var email = Pattern.compile("\"default\":\\{.*?\"email\":\"([^\"]+)\"").matcher(accounts);
        if (email.find()) {
            System.out.println("email " + email.group(1));
        }
        String universe = "/computeMetadata/v1/universe/universe_domain";
        expect(404, client.get(URI.create(base + universe)), universe);
        String identity = ACCOUNTS + "default/identity?format=full&audience="
                + URLEncoder.encode(audience, StandardCharsets.UTF_8);
        System.out.println("identity " + expect(200, client.get(URI.create(base + identity)), "identity"));
    }
}
