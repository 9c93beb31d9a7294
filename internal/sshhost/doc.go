// Package sshhost is an SSH server for programs: users log in by public key, and each session runs one subsystem or
// command, which a [Handler] serves. There are no terminals, no shells and no forwarding.
//
// It keeps deadlines, bounds the number of connections, offers the cheapest ciphers, ends sessions with an exit
// status, and distinguishes a client that left in order from a broken connection. What happens on a connection is
// reported to [Options.Observe]; what shall go wrong with it is asked of [Options.Fault].
//
// # The way of a connection
//
// [Server.Serve] accepts it → conn, the stream that the SSH library reads and writes (deadlines, delays, rates) →
// gliderlabs/ssh does the handshake → [Options.Login] decides who it is and returns a [Grant], with the Handler of its
// sessions → [Options.Accepts] decides what a session may run → the Handler serves a [Session] and returns its exit
// status.
//
// Listeners come and go by themselves, and may differ in host keys and users: HostKeys and Login get the address at
// which a connection came in. A Server is cheap, so a listener can also have one of its own.
//
// # Decisions
//
// RSA keys must sign with SHA-2 (RFC 8332). SHA-1 signatures are known to be broken, and OpenSSH's own server has
// refused them since 8.8; [Options.AllowSHA1] accepts them for clients that know nothing else. Ciphers, key exchanges
// and MACs are those that golang.org/x/crypto holds to be secure; each client since about 2012 finds one among them.
//
// The server waits a moment for the client's list of algorithms before it sends its own, and offers a client that
// knows AES-GCM nothing else where the processor knows AES: OpenSSH's client would choose ChaCha20, which takes twice
// the time here.
package sshhost
