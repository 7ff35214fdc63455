/* The warnings of libbpf, which say why a program does not load. */
#pragma once

/* Gives the text of each of libbpf's warnings, at most 1023 bytes of it, to `taker`, in the thread that causes it. libbpf has
 * one printer a process.
 */
void nid_take_warnings(void (*taker)(const char *text));
