//go:build unix

package mockserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// bench is a directory where programs that nobody here wrote meet an emulator: their files, their home, and an
// sftp in the PATH that knows the user's key and known_hosts, so that a command can be run as it stands.
type bench struct {
	*wire
	dir string
	env []string
}

func newBench(t *testing.T, w *wire) *bench {
	t.Helper()
	b := &bench{wire: w, dir: t.TempDir()}
	b.write("id", fixtures.Key("ed25519"))
	b.write("authorized_keys", fixtures.PublicKey("ed25519"))
	b.env = []string{
		"PATH=" + filepath.Join(b.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + b.dir, "LC_ALL=C.UTF-8", "BASE=" + w.base,
		"CURL_CA_BUNDLE=" + w.caFile, "SSL_CERT_FILE=" + w.caFile, "REQUESTS_CA_BUNDLE=" + w.caFile,
		// Whatever a program asks of any other host fails at once, without a look at the network.
		"http_proxy=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "no_proxy=127.0.0.1,localhost",
	}
	return b
}

// needSFTP puts the wrapped sftp in the PATH. The server's key is asked for on first use, as people do, and kept.
func (b *bench) needSFTP() *bench {
	b.Helper()
	sftp := testprog.Need(b, "sftp", "openssh-client")
	if err := os.MkdirAll(filepath.Join(b.dir, "bin"), 0o755); err != nil {
		b.Fatal(err)
	}
	b.write("bin/sftp", fmt.Appendf(nil, "#!/bin/sh\nexec %s -F none -o IdentitiesOnly=yes -o IdentityFile='%s/id' "+
		"-o StrictHostKeyChecking=${CHECKING:-accept-new} -o UserKnownHostsFile='%s/known_hosts' \"$@\"\n", sftp, b.dir,
		b.dir))
	if err := os.Chmod(filepath.Join(b.dir, "bin/sftp"), 0o755); err != nil {
		b.Fatal(err)
	}
	return b
}

func (b *bench) write(name string, data []byte) string {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func (b *bench) read(name string) []byte {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return data
}

func (b *bench) command(program string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	b.Helper()
	if !strings.Contains(program, "/") {
		program = testprog.Need(b, program, program)
	}
	cmd := exec.CommandContext(b.Context(), program, args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = b.dir, b.env, &out, &out
	return cmd, &out
}

// shell runs a script, which must succeed, and returns all that it wrote.
func (b *bench) shell(script string, variables ...string) string {
	b.Helper()
	cmd, out := b.command("bash", "-c", script)
	cmd.Env = append(cmd.Env, variables...)
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v\n%s\n-- what it wrote:\n%s", err, script, out)
	}
	return out.String()
}

// variables are the request's, by the names that the page's samples use.
func (m made) variables() []string {
	return []string{fmt.Sprintf("REQUEST_ID=%d", m.id), "KEY=" + m.key}
}

// The calls of the page's shell samples, each with curl's options as they stand there (rows 1.1, 4.2, 5.1): the
// unquoted $HEADER makes curl send the dump without a type, after a try at another host.
func TestPrograms_shellSamples(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		testprog.Need(t, "curl", "curl")
		testprog.Need(t, "jq", "jq")
		b := newBench(t, w)
		dump := fixtures.Dump("openchs.cdump")
		b.write("openchs.70.cdump", dump)
		const failuresCheck = `
			failures=$(cat $RESULT | jq -r '.failures[]')
			if [ "$failures" != "" ]; then
			  echo $failures | jq -r '.'
			  exit 1
			fi`
		b.shell(`
			CONTRACT=M123456-abcdef AIM=test TARGET=8.0 EMAIL=john.doe@example.com FILENAME=db_name.dump
			URL_PARAMS="contract=${CONTRACT}&aim=${AIM}&target=${TARGET}&email=${EMAIL}&filename=${FILENAME}"
			curl -sS "$BASE/database/v1/create?${URL_PARAMS}" > create_result.json`+failuresCheck, "RESULT=create_result.json")
		m := b.result("create_result.json")
		b.shell(`
			DUMPFILE="openchs.70.cdump"
			URL_PARAMS="key=${KEY}&request=${REQUEST_ID}"
			HEADER="Content-Type: application/octet-stream"
			curl -H $HEADER --data-binary "@${DUMPFILE}" "$BASE/database/v1/upload?${URL_PARAMS}"`, m.variables()...)
		same(t, "the dump", w.fetch(w.status(m)["original_dump_url"]), dump)
		b.shell(`
			SSH_KEYS=authorized_keys
			URL_PARAMS="key=${KEY}&request=${REQUEST_ID}"
			curl -sS "$BASE/database/v1/request_sftp_access?${URL_PARAMS}" -F ssh_keys=@${SSH_KEYS} > request_sftp_result.json`+
			failuresCheck,
			append(m.variables(), "RESULT=request_sftp_result.json")...)
		b.shell(`set -e
			URL_PARAMS="key=${KEY}&request=${REQUEST_ID}"
			curl -sS "$BASE/database/v1/process?${URL_PARAMS}"
			for i in 1 2 3; do curl -sS "$BASE/database/v1/status?${URL_PARAMS}" > status_result.json; done
			test $(jq -r .request.state status_result.json) = done
			curl -sSfo upgraded.cdump "$(jq -r .request.upgraded_dump_url status_result.json)"`, m.variables()...)
		same(t, "the upgraded dump", b.read("upgraded.cdump"), dump)

		// A failure is seen by the same script.
		out := b.shell(`! (curl -sS "$BASE/database/v1/create?target=5.0" > create_result.json` +
			strings.ReplaceAll(failuresCheck, "$RESULT", "create_result.json") + `
			)`)
		if !strings.Contains(out, "TARGET:INVALID") || !strings.Contains(out, "EMAIL:MISSING") {
			t.Errorf("the script's account of the failures:\n%s", out)
		}
	})
}

// result reads id and key from an answer in a file.
func (b *bench) result(file string) made {
	b.Helper()
	var a struct {
		Request struct {
			ID  int64
			Key string
		}
	}
	if err := json.Unmarshal(b.read(file), &a); err != nil || a.Request.Key == "" {
		b.Fatalf("%s: %v\n%s", file, err, b.read(file))
	}
	return made{a.Request.ID, a.Request.Key}
}

// curl's other ways to send a dump and parameters (rows 1.2, 1.5, 4.3).
func TestPrograms_curl(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		b := newBench(t, w)
		dump := pattern(2<<20+3, 4) // big enough for curl to wait for "100 Continue"
		b.write("dump", dump)
		for _, options := range []string{
			`--data-binary @dump`,
			`--data-binary @dump -H "Content-Type: application/octet-stream"`,
			`-T dump`,
			`-T - < dump`,
			`-T dump -X POST -H "Transfer-Encoding: chunked"`,
			`--http1.0 --data-binary @dump`,
			`--http2 --data-binary @dump`,
			`--data-binary @dump -H "Expect:"`,
			`-X GET --data-binary @dump`,
		} {
			m := w.create()
			out := b.shell(`curl -sS "$BASE/database/v1/upload?key=${KEY}&request=${REQUEST_ID}" `+options, m.variables()...)
			if out != `{"failures":[]}`+"\n" {
				t.Errorf("curl %s: %s", options, out)
			}
			same(t, options, w.fetch(w.status(m)["original_dump_url"]), dump)
		}
		m := w.create()
		want := w.call("status", m.params()).Body
		for _, options := range []string{
			`"$BASE/database/v1/status" -d "request=${REQUEST_ID}" --data-urlencode "key=${KEY}"`,
			`"$BASE/database/v1/status" -X GET -d "request=${REQUEST_ID}" -d "key=${KEY}"`,
			`-G "$BASE/database/v1/status" -d "request=${REQUEST_ID}" -d "key=${KEY}"`,
			`"$BASE/database/v1/status/?request=${REQUEST_ID}" -F "key=${KEY}"`,
			`"$BASE/database/v1/status?request=${REQUEST_ID}&key=${KEY}&run=False"`,
		} {
			if out := b.shell(`curl -sS `+options, m.variables()...); out != want {
				t.Errorf("curl %s:\n%swant\n%s", options, out, want)
			}
		}
		if out := b.shell(`curl -sSI "$BASE/database/v1/status?request=${REQUEST_ID}&key=${KEY}"`,
			m.variables()...); !strings.HasPrefix(out, "HTTP/1.1 200") {
			t.Errorf("curl -I: %s", out)
		}
	})
}

// The page's sftp session: the sample command as the answer gives it, put, ls -l, put -a, get (rows 5.5, 5.11,
// 5.12, 5.16, 5.20, 5.21).
func TestPrograms_sftpSession(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	b := newBench(t, w).needSFTP()
	dump := pattern(849_920, 6)
	b.write("openchs.70.cdump", dump)
	m := w.create("filename", "openchs.70.cdump")
	command := w.grant(m, "ed25519").Request["sample_command"].(string)

	run := func(commands string, variables ...string) string {
		t.Helper()
		return b.shell(`printf '%b' "$COMMANDS" | `+command, append(variables, "COMMANDS="+commands)...)
	}
	contains := func(out string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("the session does not say %q:\n%s", want, out)
			}
		}
	}
	out := run(`put openchs.70.cdump openchs.70.cdump\nls -l openchs.70.cdump\nls -l\n`)
	contains(out, "Connected to 127.0.0.1.", "Uploading openchs.70.cdump to /openchs.70.cdump")
	// For a file that is named, sftp makes the line itself, and what it writes for the number of links depends
	// on its version.
	for _, line := range []string{`-rw-rw-rw-    1 0        0          849920 `,
		`-rw-rw-rw-    [01?] 0        0          849920 `} {
		if !regexp.MustCompile(line + `[A-Z][a-z]{2} .* openchs\.70\.cdump\n`).MatchString(out) {
			t.Errorf("the session has no line %s:\n%s", line, out)
		}
	}
	same(t, "the dump", w.fetch(w.status(m)["original_dump_url"]), dump)

	// The host key was asked for on the first login; from now on it must be the same.
	for _, batch := range []string{
		`put -p openchs.70.cdump\nls -l\n`,
		`-mkdir x\n-rm openchs.70.cdump\n-rename openchs.70.cdump y\n-put openchs.70.cdump other\n-put openchs.70.cdump ../../tmp/x\nput openchs.70.cdump\n`,
	} {
		b.shell(`printf '%b' "$COMMANDS" | `+strings.Replace(command, "sftp ", "sftp -b - ", 1), "COMMANDS="+batch,
			"CHECKING=yes")
		same(t, "the dump after "+batch, w.fetch(w.status(m)["original_dump_url"]), dump)
	}
	if s := w.status(m); s["filesize"] != "830.00 Kb" {
		t.Errorf("filesize %v", s["filesize"])
	}

	// A shorter file over a longer one, a longer one over a shorter one.
	for _, size := range []int{1000, 0, 500_000} {
		b.write("openchs.70.cdump", dump[:size])
		run(`put openchs.70.cdump\n`, "CHECKING=yes")
		same(t, "another size", w.fetch(w.status(m)["original_dump_url"]), dump[:size])
	}
	b.write("openchs.70.cdump", dump)
	contains(run(`put -a openchs.70.cdump openchs.70.cdump\n`, "CHECKING=yes"),
		"Resuming upload of openchs.70.cdump to /openchs.70.cdump")
	same(t, "resumed", w.fetch(w.status(m)["original_dump_url"]), dump)

	w.finish(m)
	if err := b.shell(command + ` </dev/null && exit 1 || true`); !strings.Contains(err, "Permission denied") {
		t.Errorf("login with the access for the upload, in state done: %s", err)
	}
	w.grant(m, "ed25519")
	b.write("got", dump[:123_456])
	contains(run(`ls -l\nget upgraded_openchs.70.cdump upgraded\nreget upgraded_openchs.70.cdump got\n`, "CHECKING=yes"),
		"Fetching /upgraded_openchs.70.cdump to upgraded", " upgraded_openchs.70.cdump\n")
	same(t, "get", b.read("upgraded"), dump)
	same(t, "reget", b.read("got"), dump)
}

// An sftp that is killed in the middle, and put -a by another one (rows 5.12, 4.5). When sftp alone dies, its
// ssh ends the session in order, and what has arrived is the dump (row 5.17); when ssh dies, too, nothing is
// complete.
func TestPrograms_sftpResume(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kill     func(pid int) error
		complete bool
	}{
		"sftp alone":       {func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }, true},
		"sftp and its ssh": {func(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, nil)
			b := newBench(t, w).needSFTP()
			dump := pattern(2<<20, 8)
			b.write("db_name.dump", dump)
			m := w.create()
			command := w.grant(m, "ed25519").Request["sample_command"].(string)

			// a megabyte a second: it won't get far
			cmd, out := b.command("sh", "-c", "exec "+strings.Replace(command, "sftp ", "sftp -b - -l 8000 ", 1))
			cmd.Stdin = strings.NewReader("put db_name.dump\n")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			session := w.login(m, "ed25519")
			size := func() int64 {
				info, err := session.Stat("/db_name.dump")
				if err != nil {
					t.Fatal(err)
				}
				return info.Size()
			}
			deadline := time.Now().Add(2 * time.Minute)
			for size() < 256<<10 && time.Now().Before(deadline) {
			}
			if err := tc.kill(cmd.Process.Pid); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Fatalf("sftp was done before it could be killed: %s", out)
			}
			if tc.complete {
				for w.status(m)["filesize"] == nil && time.Now().Before(deadline) {
				}
			}
			if s := w.status(m); (s["filesize"] != nil) != tc.complete || size() >= int64(len(dump)) {
				t.Errorf("filesize %v, of %d bytes that have arrived", s["filesize"], size())
			}
			if out := b.shell(`echo "put -a db_name.dump" | ` + command); !strings.Contains(out,
				"Resuming upload of db_name.dump to /db_name.dump") {
				t.Errorf("put -a did not resume: %s", out)
			}
			same(t, "the dump", w.fetch(w.status(m)["original_dump_url"]), dump)
		})
	}
}

// wget --continue goes on where a broken download ended (row 8.3).
func TestPrograms_wget(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		testprog.Need(t, "wget", "wget")
		b := newBench(t, w)
		dump := pattern(3<<20, 3)
		m := w.create()
		w.upload(m, dump)
		url := "URL=" + w.finish(m)["upgraded_dump_url"].(string)
		b.write("part", dump[:1<<20])
		out := b.shell(`wget --ca-certificate="$SSL_CERT_FILE" --continue -O part "$URL"`, url)
		same(t, "continued", b.read("part"), dump)
		if !strings.Contains(out, "206 Partial Content") {
			t.Errorf("wget did not continue: %s", out)
		}
		b.shell(`wget --ca-certificate="$SSL_CERT_FILE" --continue -O part "$URL"`, url) // there is nothing left to fetch
		same(t, "continued again", b.read("part"), dump)
		b.shell(`wget --ca-certificate="$SSL_CERT_FILE" --content-disposition "$URL"`, url)
		same(t, "under its own name", b.read("upgraded_db_name.dump"), dump)
	})
}

// lftp uploads in parts, sets times and permissions, and fetches with several connections (rows 5.12, 5.14, 5.16).
func TestPrograms_lftp(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "lftp", "lftp")
	testprog.Need(t, "ssh", "openssh-client")
	w := onWire(t, nil)
	b := newBench(t, w)
	dump := pattern(1<<20, 5)
	b.write("db_name.dump", dump)
	m := w.create()
	w.grant(m, "ed25519")
	_, port, _ := strings.Cut(w.sftpAddr, ":")
	run := func(commands string) {
		t.Helper()
		b.shell(`lftp -c "$COMMANDS"`, "COMMANDS=set cmd:fail-exit yes; set net:max-retries 1; set sftp:auto-confirm yes; "+
			"set sftp:connect-program 'ssh -a -x -F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new -o "+
			"UserKnownHostsFile="+b.dir+"/known_hosts -i "+b.dir+"/id'; "+
			"open -p "+port+" -u "+m.user()+",none sftp://127.0.0.1; "+commands)
	}
	run("put db_name.dump")
	same(t, "put", w.fetch(w.status(m)["original_dump_url"]), dump)
	w.put(w.login(m, "ed25519"), "/db_name.dump", dump[:300_000])
	run("put -c db_name.dump; chmod 600 db_name.dump; cls -l")
	same(t, "put -c", w.fetch(w.status(m)["original_dump_url"]), dump)
	w.finish(m)
	w.grant(m, "ed25519")
	run("pget -n 4 upgraded_db_name.dump -o got")
	same(t, "pget", b.read("got"), dump)
}

// curl -C N -T sends what is behind the first N bytes, and says so (row 4.8).
func TestPrograms_curlResumesAnUpload(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	before, dump := pattern(300, 2), pattern(1000, 1)
	w.upload(m, before)
	code, stdout, stderr := runCurl(t, "-C", "300", "-T", file(t, "dump", dump), w.base+"/database/v1/upload?"+
		m.params().Encode())
	if code != curlOK || !strings.Contains(stdout, "DUMP:INCOMPLETE") {
		t.Errorf("curl ended with %d, %q %s", code, stdout, stderr)
	}
	same(t, "the dump from before", w.fetch(w.status(m)["original_dump_url"]), before)
}
