package conformance_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// startAnswers is a server that answers transfer/start with another value of a key.
func startAnswers(row, key string, f func(v any) any) wrongScript {
	return wrongScript{row: row, edit: onResult("transfer/start", func(m map[string]any) {
		if v, there := m[key]; there {
			m[key] = f(v)
		}
	})}
}

// knownHosts is a server whose known_hosts is another text.
func knownHosts(row string, f func(host, key string) any) wrongScript {
	return startAnswers(row, "known_hosts", func(v any) any {
		host, key, _ := strings.Cut(v.(string), " ")
		return f(host, key)
	})
}

// otherKey is the line of a key that no server has.
func otherKey() string { return strings.TrimSuffix(raw.KeyLine(raw.NewKey("ed25519")), "\n") }

// wrongTransfers break transfer/start and transfer/stop: section S3.
func wrongTransfers() map[string]wrongScript {
	return map[string]wrongScript{
		"uploads only": callRefused("S3.1", "transfer/start", func(_, params map[string]any) bool {
			return params["transfer_type"] == "download"
		}),
		"transfers of another kind": callRefused("S3.1", "transfer/start", func(_, params map[string]any) bool {
			return params["transfer_type"] == "upload"
		}),
		"start without ssh_port":       lacks("S3.2", "transfer/start", "ssh_port"),
		"start without known_hosts":    lacks("S3.2", "transfer/start", "known_hosts"),
		"a download without dump_name": lacks("S3.2", "transfer/start", "dump_name"),
		"ssh_port is a list":           startAnswers("S3.3", "ssh_port", func(v any) any { return []any{v} }),
		"ssh_port is null":             startAnswers("S3.2", "ssh_port", just(nil)),
		"ssh_port is a word":           startAnswers("S3.3", "ssh_port", just("ssh")),
		"ssh_port is a fraction":       startAnswers("S3.3", "ssh_port", func(v any) any { return fmt.Sprint(v, ".0") }),
		"ssh_port is a text": onlyAssumed(startAnswers("S3.3", "ssh_port",
			func(v any) any { return fmt.Sprint(v) })),
		"the same port for each":      broken("S3.4", "the same port for each"),
		"ports below the range":       broken("S3.4", "ports below the range"),
		"known_hosts is null":         startAnswers("S3.5", "known_hosts", just(nil)),
		"known_hosts is empty":        startAnswers("S3.5", "known_hosts", just("")),
		"known_hosts is a list":       startAnswers("S3.5", "known_hosts", func(v any) any { return []any{v} }),
		"known_hosts of another host": knownHosts("S3.6", func(_, key string) any { return "upgrade.odoo.com " + key }),
		"known_hosts of another port": knownHosts("S3.6", func(_, key string) any { return "[127.0.0.1]:22 " + key }),
		"known_hosts without a host":  knownHosts("S3.6", func(_, key string) any { return key }),
		"known_hosts of a revoked key": knownHosts("S3.6",
			func(host, key string) any { return "@revoked " + host + " " + key }),
		"known_hosts in one word": knownHosts("S3.6", func(host, key string) any { return host + "," + key }),
		"dump_name with its directory": startAnswers("S3.7", "dump_name",
			func(v any) any { return "/data/" + v.(string) }),
		"dump_name is nowhere": startAnswers("S3.7", "dump_name", func(v any) any { return "the." + v.(string) }),
		"dump_name is empty":   startAnswers("S3.7", "dump_name", just("")),
		"dump_name is null":    startAnswers("S3.7", "dump_name", just(nil)),
		"stop is refused": callRefused("S3.8", "transfer/stop",
			func(_, _ map[string]any) bool { return true }),
		"uploads in any state":           onlyAssumed(broken("S3.10", "uploads in any state")),
		"downloads in any state":         onlyAssumed(broken("S3.10", "downloads in any state")),
		"the port of before stays open":  onlyAssumed(broken("S3.11", "the port of before stays open")),
		"a second start begins anew":     onlyAssumed(broken("S3.11", "files not kept after a break")),
		"stop without a transfer":        onlyAssumed(broken("S3.13", "stop wants a transfer")),
		"the port is on no host":         portClosed(),
		"the port stays open after stop": onlyAssumed(broken("S4.9", "the port stays open after stop")),
	}
}

// portClosed is a server at whose port nothing listens.
func portClosed() wrongScript {
	free := sync.OnceValue(func() int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 9
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port
	})
	return startAnswers("S4.1", "ssh_port", func(any) any { return free() })
}

// letsIn is a server with another login.
func letsIn(row string, f func(config *ssh.ServerConfig)) wrongScript {
	return wrongScript{row: row, login: f}
}

// assumedLogin is a server that lets in others than those by the key of the request, which is only assumed to be wrong.
func assumedLogin(f func(config *ssh.ServerConfig)) wrongScript {
	return onlyAssumed(letsIn("S4.6", f))
}

// signedWith is a server that takes signatures of these algorithms.
func signedWith(algorithms ...string) wrongScript {
	return letsIn("S4.7", func(config *ssh.ServerConfig) { config.PublicKeyAuthAlgorithms = algorithms })
}

// grants is a server that grants a request on a channel, and says something.
func grants(row, kind string, starts ...string) wrongScript {
	return wrongScript{row: row, request: func(r *ssh.Request, ch ssh.Channel) bool {
		line := string(r.Payload[min(4, len(r.Payload)):])
		if r.Type != kind || kind == "exec" && strings.HasPrefix(line, "rsync") {
			return false
		}
		r.Reply(true, nil)
		if kind == "pty-req" {
			return false
		}
		io.WriteString(ch, "odoo\n")
		ch.CloseWrite()
		ch.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
		return true
	}}
}

// wrongLogins break who is let in, and what is run: section S4.
func wrongLogins() map[string]wrongScript {
	userIs := func(right func(user string) bool) func(config *ssh.ServerConfig) {
		return func(config *ssh.ServerConfig) {
			next := config.PublicKeyCallback
			config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
				if !right(meta.User()) {
					return nil, fmt.Errorf("no user %s", meta.User())
				}
				return next(meta, key)
			}
		}
	}
	return map[string]wrongScript{
		"the user is root": letsIn("S4.2", userIs(func(user string) bool { return user == "root" })),
		"any user": onlyAssumed(letsIn("S4.2", func(config *ssh.ServerConfig) {
			next := config.PublicKeyCallback
			config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
				return next(asOdoo{meta}, key)
			}
		})),
		"another host key than known_hosts has": letsIn("S4.3", func(config *ssh.ServerConfig) {
			config.AddHostKey(raw.NewKey("ed25519"))
		}),
		"known_hosts of another key": knownHosts("S4.3", func(host, _ string) any { return host + " " + otherKey() }),
		"a password": assumedLogin(func(config *ssh.ServerConfig) {
			config.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, nil }
		}),
		"an empty password": assumedLogin(func(config *ssh.ServerConfig) {
			config.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
				if len(password) > 0 {
					return nil, fmt.Errorf("a wrong password")
				}
				return nil, nil
			}
		}),
		"nothing at all": assumedLogin(func(config *ssh.ServerConfig) { config.NoClientAuth = true }),
		"no question": assumedLogin(func(config *ssh.ServerConfig) {
			config.KeyboardInteractiveCallback = func(ssh.ConnMetadata,
				ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				return nil, nil
			}
		}),
		"any key": assumedLogin(func(config *ssh.ServerConfig) {
			config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }
		}),
		"the keys of all requests": onlyAssumed(broken("S4.6", "keys open every request")),
		"no key":                   letsIn("S4.6", userIs(func(string) bool { return false })),
		"SHA-1 only":               signedWith(ssh.KeyAlgoRSA, ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256),
		"no SHA-256":               signedWith(ssh.KeyAlgoRSASHA512, ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256),
		"no SHA-512":               signedWith(ssh.KeyAlgoRSASHA256, ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256),
		"no commands": {row: "S4.5", request: func(r *ssh.Request, _ ssh.Channel) bool {
			r.Reply(false, nil)
			return true
		}},
		"a terminal only": {row: "S4.5", request: func(r *ssh.Request, ch ssh.Channel) bool {
			if r.Type != "exec" {
				return false
			}
			r.Reply(true, nil)
			io.WriteString(ch.Stderr(), "a terminal is needed\n")
			ch.SendRequest("exit-status", false, []byte{0, 0, 0, 1})
			return true
		}},
		"a greeting in rsync's way": {row: "S4.5", request: func(r *ssh.Request, ch ssh.Channel) bool {
			if r.Type == "exec" {
				io.WriteString(ch, "Welcome to the platform!\n")
			}
			return false
		}},
		"a shell":                  onlyAssumed(grants("S4.8", "shell")),
		"other commands":           onlyAssumed(grants("S4.8", "exec")),
		"a subsystem":              onlyAssumed(grants("S4.8", "subsystem")),
		"a terminal":               onlyAssumed(grants("S4.8", "pty-req")),
		"a way elsewhere":          onlyAssumed(broken("S4.8", "forwards")),
		"no exit status":           broken("S4.10", "no exit status"),
		"always the exit status 0": onlyAssumed(broken("S4.10", "the exit status is always 0")),
		"the exit status 23":       {row: "S4.10", run: after(func(*refCommand) int { return 23 })},
	}
}

// asOdoo is a login by the right name.
type asOdoo struct{ ssh.ConnMetadata }

func (asOdoo) User() string { return "odoo" }
