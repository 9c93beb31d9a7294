// Package sshkeys reads the SSH public keys that a client sends, and keeps private ones, which people send by
// mistake, out of everything that is shown: nothing of a text is quoted unless it is surely part of a public key,
// or too little to be part of a private one.
package sshkeys

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// What is read and reported of one text is bounded.
const (
	MaxKeys     = 1000
	maxProblems = 20 // what else is wrong shows when these are mended
	maxQuoted   = 80 // characters of a line (docs/fidelity.md, section 2)
)

// accepted are the types of public keys that can log in (row 5.2; hardware-backed ones are those types, too).
var accepted = map[string]bool{
	gossh.KeyAlgoRSA:      true,
	gossh.KeyAlgoECDSA256: true, gossh.KeyAlgoECDSA384: true, gossh.KeyAlgoECDSA521: true,
	gossh.KeyAlgoED25519:    true,
	gossh.KeyAlgoSKECDSA256: true, gossh.KeyAlgoSKED25519: true,
}

// Problem is something in the text that is no public key of an accepted type.
type Problem struct {
	Line  int    // from 1
	Quote string // the line, as far as it may be shown; Hidden where it may not
	Why   string
}

// Hidden stands for what is not shown.
const Hidden = "…"

// Why a line is no key.
const (
	whyNot     = "this is neither a public key, nor blank, nor a comment"
	whyPrivate = "this is a private key; send the public one, usually the file ending in .pub"
	whyRFC4716 = "this is a public key in the form of RFC 4716; convert it with ssh-keygen -i -f FILE"
	whyPKCS8   = "this is a public key in the form PKCS8; convert it with ssh-keygen -i -m PKCS8 -f FILE"
	whyPEM     = "this is a public key in the form PEM; convert it with ssh-keygen -i -m PEM -f FILE"
	whyPlus    = `the + in this public key became blanks, which is what + means in a form; ` +
		`send it as %2B (curl --data-urlencode), ` +
		`or the keys as a file (curl -F ssh_keys=@FILE)`
	whyNone = "there is no public key at all"
)

// Parse reads a text that looks like an authorized_keys file (rows 5.1, 5.2). It returns the keys in SSH wire form
// and base64, without repetition, and everything that is wrong. Several lines of one thing that is no key, such as
// a private key, are one problem.
func Parse(text string) (keys []string, problems []Problem) {
	text = strings.TrimPrefix(text, "\uFEFF")
	seen := make(map[string]bool)
	short := sync.OnceValue(func() bool { return tooShortForAKey(text) })
	report := func(number int, line, why string) {
		problems = append(problems, Problem{number, quote(line, short), why})
	}
	number, within := 0, block{}
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
		if within.why != "" && err != nil {
			if within.endsWith(line) {
				within = block{}
			}
			continue
		}
		within = block{}
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case err != nil:
			if within = begins(line); within.why == "" {
				report(number, line, reason(line))
				break
			}
			report(number, line, within.why)
			if within.endsWith(line) {
				within = block{}
			}
		case !accepted[key.Type()]:
			why := fmt.Sprintf("keys of type %s are not accepted; make one of type ed25519, ecdsa or rsa", key.Type())
			report(number, key.Type()+" "+Wire(key), why)
		case !seen[Wire(key)]:
			seen[Wire(key)] = true
			keys = append(keys, Wire(key))
		}
		if len(keys) > MaxKeys {
			report(number, line, fmt.Sprintf("more than %d keys", MaxKeys))
			return nil, problems
		}
		if len(problems) == maxProblems {
			return nil, problems
		}
	}
	if len(keys) == 0 && problems == nil {
		first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		report(1, strings.TrimSpace(first), whyNone)
	}
	return keys, problems
}

// Wire is a key in SSH wire form and base64.
func Wire(key gossh.PublicKey) string { return base64.StdEncoding.EncodeToString(key.Marshal()) }

// block is something of several lines that is no key. The zero value is none.
type block struct {
	why string
	end bool // a line ends it; otherwise the next public key does, or the end of the text
}

var (
	blockBegin = regexp.MustCompile(`(?i)-{3,} ?BEGIN ([A-Z0-9 ]*)`)
	blockEnd   = regexp.MustCompile(`(?i)-{3,} ?END `)
)

// begins returns the block that begins with the line.
func begins(line string) block {
	for _, form := range formsOf(line) {
		if isPrivate(form) {
			return block{why: whyPrivate} // its last line may not be known as such, whatever became of it
		}
	}
	label := blockBegin.FindStringSubmatch(line)
	if label == nil {
		return block{}
	}
	switch label := strings.ToUpper(label[1]); {
	case strings.Contains(label, "SSH2 PUBLIC KEY"):
		return block{whyRFC4716, true}
	case strings.Contains(label, "RSA PUBLIC KEY"):
		return block{whyPEM, true}
	case strings.Contains(label, "PUBLIC KEY"):
		return block{whyPKCS8, true}
	}
	return block{whyNot, true}
}

func (b block) endsWith(line string) bool { return b.end && blockEnd.MatchString(line) }

// reason says why a line that begins no block is no key.
func reason(line string) string {
	fields := strings.Split(line, " ")
	for i, field := range fields {
		if !accepted[field] {
			continue
		}
		for end := i + 3; end <= len(fields); end++ {
			mended := field + " " + strings.Join(fields[i+1:end], "+")
			if _, _, _, _, err := gossh.ParseAuthorizedKey([]byte(mended)); err == nil {
				return whyPlus
			}
		}
	}
	return whyNot
}

// header is the first line of a key as programs write it. It says nothing of the key.
var header = regexp.MustCompile(
	`-{4,5} ?BEGIN (?:(?:OPENSSH|RSA|DSA|EC|ENCRYPTED|ANY|SSH2|SSH2 ENCRYPTED) )?(?:PRIVATE|PUBLIC) KEY ?-{4,5}`)

// quote is what may be shown of a line; short reports whether all of the text is too short to be part of a private
// key.
func quote(line string, short func() bool) string {
	if found := header.FindString(line); found != "" {
		return found
	}
	if public := publicBeginning(line); public != "" {
		line = public
	} else if !short() {
		return Hidden
	}
	if quoted := []rune(line); len(quoted) > maxQuoted {
		return string(quoted[:maxQuoted])
	}
	return line
}

// publicBeginning is the type and the base64 of a line that begins as a public key does: with the name of a type,
// and with base64 of the same name; "" of any other line. What is quoted of that is public, also where it is an
// SSH agent's form of a private key.
func publicBeginning(line string) string {
	name, rest, _ := strings.Cut(line, " ")
	blob, _, _ := strings.Cut(rest, " ")
	if !isPublicBlob(name, blob) {
		return ""
	}
	return name + " " + blob
}

func isPublicBlob(name, blob string) bool {
	if !accepted[name] && name != "ssh-dss" {
		return false
	}
	wire := append([]byte{0, 0, 0, byte(len(name))}, name...)
	return strings.HasPrefix(blob, base64.StdEncoding.EncodeToString(wire[:len(wire)/3*3]))
}
