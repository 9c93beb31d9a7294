package sftpserver

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// refusal is a status whose event says more than the client gets.
type refusal struct {
	*status
	why string
}

func (r refusal) Error() string { return r.why }
func (r refusal) Unwrap() error { return r.status }

// onlyTheFile refuses to write to the path p, or to rename it, where only the file with that name can be written.
func onlyTheFile(p, name string) error {
	why := fmt.Sprintf("only /%s can be written", name)
	if advice := againstTemporaryName(path.Base(cleanPath(p)), name); advice != "" {
		why += "; this is a temporary name, which the client would rename at the end: " + advice
	}
	return refusal{statusDenied, why}
}

// temporaryNames are names to which clients write before they rename, and the option by which the client writes to the
// file itself.
var temporaryNames = []struct {
	name   *regexp.Regexp
	advice string
}{
	{regexp.MustCompile(`(?i)\.filepart$`), "WinSCP does not with Preferences, Transfer, Endurance, Disable; " +
		"a script of its with put -resumesupport=off"},
	{regexp.MustCompile(`(?i)\.partial$`), "rclone does not with --inplace"},
	{regexp.MustCompile(`^\.in\.`), "lftp does not after set xfer:use-temp-file no"},
	{regexp.MustCompile(`(?i)\.part$`), "KDE's programs do not with MarkPartial=false in kioslaverc"},
	{regexp.MustCompile(`(?i)\.writing$`), "Spring Integration does not with use-temporary-file-name=false"},
	{regexp.MustCompile(`^\.giosave`), "GNOME's programs always do; take another client"},
	{regexp.MustCompile(`(?i)(\.|^)(te?mp|new|bak|upload|uploading|in-?progress|incomplete)$|~$`), anyOption},
}

const anyOption = "switch off the client's option for temporary names " +
	"(Cyberduck: Preferences, Transfers, Uploads; Apache NiFi: Dot Rename)"

// againstTemporaryName returns how to keep a client from writing to base in place of name, or "" if base does not look
// like a temporary name.
func againstTemporaryName(base, name string) string {
	for _, t := range temporaryNames {
		if t.name.MatchString(base) {
			return t.advice
		}
	}
	if strings.Contains(base, name) {
		return anyOption
	}
	return ""
}
