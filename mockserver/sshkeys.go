package mockserver

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	gossh "golang.org/x/crypto/ssh"
)

const (
	maxKeys        = 1000 // of one call
	maxBadLines    = 20   // reported of one call; what else is wrong shows when these are mended
	maxQuotedChars = 80   // of a line that is quoted (docs/fidelity.md, section 2)
)

// keyTypes are the public key types that can log in (row 5.2; hardware-backed ones are those types too).
var keyTypes = map[string]bool{
	gossh.KeyAlgoRSA:      true,
	gossh.KeyAlgoECDSA256: true, gossh.KeyAlgoECDSA384: true, gossh.KeyAlgoECDSA521: true,
	gossh.KeyAlgoED25519:    true,
	gossh.KeyAlgoSKECDSA256: true, gossh.KeyAlgoSKED25519: true,
}

// parseSSHKeys reads ssh_keys, which looks like an authorized_keys file (rows 5.1, 5.2), and returns the keys in SSH wire form and
// base64, without repetition, and everything that is wrong.
func parseSSHKeys(text string) (keys []string, fails platform.Failures) {
	if strings.TrimSpace(text) == "" {
		return nil, platform.Failures{platform.Missing("ssh_keys")}
	}
	seen := make(map[string]bool)
	number, inPrivateKey := 0, false
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\uFEFF"), "\n") {
		number++
		line = strings.TrimSpace(line)
		if inPrivateKey { // say it once, and quote none of it
			inPrivateKey = !strings.HasPrefix(line, "-----END ")
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "-----BEGIN ") && strings.Contains(line, "PRIVATE KEY") {
			inPrivateKey = !strings.Contains(line, "-----END ")
			header, _, _ := strings.Cut(line, "PRIVATE KEY")
			fails = append(fails, badLine(number, header+"PRIVATE KEY-----", "this is a private key; send the public one, usually the file ending in .pub"))
			continue
		}
		key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
		switch {
		case err != nil:
			fails = append(fails, badLine(number, line, "this is neither a public key, nor blank, nor a comment"))
		case !keyTypes[key.Type()]:
			fails = append(fails, badLine(number, line, fmt.Sprintf("keys of type %s are not accepted; make one of type ed25519, ecdsa or rsa", key.Type())))
		default:
			wire := wireKey(key)
			if !seen[wire] {
				seen[wire] = true
				keys = append(keys, wire)
			}
		}
		if len(keys) > maxKeys {
			return nil, append(fails, badLine(number, line, fmt.Sprintf("more than %d keys", maxKeys)))
		}
		if len(fails) == maxBadLines {
			return nil, fails
		}
	}
	if len(keys) == 0 && fails == nil {
		fails = append(fails, badLine(1, firstLine(text), "there is no public key at all"))
	}
	return keys, fails
}

// wireKey is the form in which keys are kept and compared.
func wireKey(key gossh.PublicKey) string { return base64.StdEncoding.EncodeToString(key.Marshal()) }

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(line)
}

func badLine(number int, line, why string) platform.Failure {
	quoted := []rune(line)
	if len(quoted) > maxQuotedChars {
		quoted = quoted[:maxQuotedChars]
	}
	return platform.Failure{
		Reason:  platform.SSHKeysInvalid,
		Message: fmt.Sprintf("Invalid line %d in ssh_keys: %s", number, why),
		Fields:  map[string]any{"line": number, "value": string(quoted)},
		Why:     fmt.Sprintf("line %d: %s", number, why),
	}
}
