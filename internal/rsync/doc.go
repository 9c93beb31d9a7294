// Package rsync is the server's side of an rsync transfer over a remote shell: what runs in place of the program
// "rsync --server". It knows neither SSH nor what the files are for.
//
// [Parse] is the gate. It takes the command line apart that the client's rsync sends, and lets through what the
// transfers of the script API need; everything else is a [*Refusal] with a line for the client's user. An [Engine]
// then serves the command over a [Stream]: [InProcess] needs no program, [Program] runs a given rsync.
//
// Both engines behave alike. An upload makes regular files and directories below [Job.Root] and nothing else; a
// download sends regular files and directories of [Job.Files]. Files that arrived whole are kept when a transfer
// breaks, and are skipped by the next one if size and time are the same; the file under way is sent anew.
package rsync
