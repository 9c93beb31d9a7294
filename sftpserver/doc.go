// Package sftpserver is the temporary SFTP host of the emulated upgrade platform: an SSH login by public key, and
// behind it a file system that holds exactly one file.
//
// It knows neither HTTP nor upgrade requests. Who may log in, and what each user sees, is decided by the [Shares]
// given in [Options]; what happens is reported to [Options.Observe]; what shall go wrong is asked of [Options.Fault].
//
// # What a client sees
//
// After a login with an accepted key only the subsystem "sftp" (version 3, draft-ietf-secsh-filexfer-02) can be used;
// shells, commands, terminals and forwarding are refused. The root directory lists the one file and nothing else. The
// file can be read, written, overwritten, truncated, appended to and resumed, by any number of sessions at once; if it
// is read-only, only read. Times and permissions may be set, without effect. Everything else is refused, and the
// session goes on.
//
// # Decisions
//
// Unverified: production's SFTP server is not known. Apart from what the documentation shows (the mode
// in listings, one file only, resuming) the answers follow OpenSSH's server, since that is what clients are tested
// with.
//
// Deliberately: RSA keys must sign with SHA-2 (RFC 8332). SHA-1 signatures are known to be broken, and OpenSSH's own
// server has refused them since 8.8; [Options.AllowSHA1] accepts them for clients that know nothing else.
//
// Requests of one session act on the file as if each had been answered before the next one came, also those that were
// sent without waiting. An append goes to the end that the file has then, whatever offset it carries.
//
// Unverified: statvfs, hard links and posix-rename are not announced, and limits@openssh.com is, so that OpenSSH's
// client sends blocks of 255 KiB. Times in listings are UTC.
//
// Deliberately: a handle that is still open when the client ends its channel in order is closed, not aborted:
// OpenSSH's sftp ends that way when it is interrupted, and a later "put -a" continues.
package sftpserver
