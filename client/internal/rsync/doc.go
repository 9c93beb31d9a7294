// Package rsync speaks the client's side of rsync's protocol, version 27, over a stream such as an SSH channel: [Send]
// sends files, and [Receiver.Run] receives them.
//
// Files are sent whole, in runs of at most 32 KiB, since widespread servers refuse longer ones (row S5.17). What the
// other side has already, by size and time, is not moved again; of a file that was being received when a transfer
// broke, only the rest is.
//
// What a server sends is not trusted. Names are taken only below those that were asked for, links and devices are not
// made, memory is bounded, and a file gets its name only when it has arrived whole and its checksum is right.
//
// github.com/gokrazy/rsync has a client, too. It is not used: it sends runs of 256 KiB, it panics in goroutines of its
// own on broken input, it writes by the names that the server chooses, and it reports no progress.
//
// A row in a comment, such as row S5.11, is a row of the wire contract in docs/fidelity.md.
package rsync
