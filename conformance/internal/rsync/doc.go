// Package rsync speaks the client's side of rsync's protocol, version 27, as a judge of servers has to: it notes which
// files a server asks for, how long its runs of data are and what it takes from files that are there, and it can break
// off in the middle of a file. It is a reading of the protocol of its own, shared with none of the others of this
// module.
//
// What a server sends is not trusted: what is read, kept and answered is bounded, and nothing is written to a disk.
// Whoever has the stream bounds the time.
package rsync
