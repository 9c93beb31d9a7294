// Package transfer has the machinery of the client's SFTP transfers: a [Window] of pieces that are moved at the same
// time, and a [Channel] of the SFTP protocol with a [File] on it that is read without copies.
package transfer
