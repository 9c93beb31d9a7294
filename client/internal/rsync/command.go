package rsync

import "strings"

// capabilities are those that rsync 3.2 and later show to a server. None of them matters to version 27.
const capabilities = "e.iLsfxCIvu"

// UploadCommand returns the command that receives into path, as the script's own rsync asks for it (row S5.4).
func UploadCommand(path string) string {
	return "rsync --server -ltr" + capabilities + " --delete-after . " + quote(path)
}

// DownloadCommand returns the command that sends the files and directories at paths, of which each may be absent (row
// S5.11).
func DownloadCommand(paths ...string) string {
	command := "rsync --server --sender -logDtpr" + capabilities + " --ignore-missing-args ."
	for _, p := range paths {
		command += " " + quote(p)
	}
	return command
}

// quote returns s as a word of a shell's line.
func quote(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 && !strings.ContainsRune("/._-+=:,@%", r) &&
			(r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
