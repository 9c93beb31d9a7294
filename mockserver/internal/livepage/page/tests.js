// Tests to paste elsewhere: each runs a client under the scenario of what happened, which is in it. A small client
// stands where the user's own code goes, so that the test runs as it stands.

const identifier = (r) => `request_${r.id}`;

// given is what create was told: of the latest create among the events, else what the request says of itself.
function given(r, events) {
  const made = events.filter((e) => /(^|\.)create$/.test(e.on) && e.params).pop();
  const told = { ...(r.status || {}), ...(made ? made.params : {}) };
  return {
    contract: r.contract, email: told.email || "john.doe@example.com", target: told.target || (r.api === "script" ? "17.0" : "8.0"),
    aim: told.aim || "test", filename: told.filename || "db.dump",
  };
}

const begun = (r) => !/^(draft|new)$/.test(r.state); // process was called

// python is text as a literal of Python, over several lines.
const python = (text) => `"""${text.replaceAll("\\", "\\\\").replaceAll('"""', '\\"\\"\\"')}"""`;
const pythonParams = (params) => Object.entries(params).map(([k, v]) => `${k}=${JSON.stringify(v)}`).join(", ");

// pytest needs the plugin pytest-upgrademock.
export function pytest(r, yaml, events) {
  const script = r.api === "script";
  const params = given(r, events);
  return `import json
import time
import urllib.parse
import urllib.request
${script ? "import subprocess\n" : ""}
import pytest

WHAT_HAPPENED = ${python(yaml)}


# verify=False: what the scenario expects of a client is not judged. Leave it out to judge your own.
@pytest.mark.upgrademock(WHAT_HAPPENED, clock="virtual", verify=False)
def test_${identifier(r)}(upgrademock, tmp_path):
    upgrade_my_database(upgrademock, tmp_path)
    assert upgrademock.requests()[-1]["state"] == ${JSON.stringify(r.state)}


def upgrade_my_database(upgrademock, tmp_path):
    """Stands for your code, which calls https://upgrade.odoo.com: put it here."""
${script ? scriptClient(params, r) : databaseClient(params, r)}

def call(url, body, content_type):
    """Asks again, whatever goes wrong."""
    for _ in range(50):
        try:
            request = urllib.request.Request("https://upgrade.odoo.com" + url, body, {"Content-Type": content_type})
            with urllib.request.urlopen(request) as response:
                answer = json.load(response)
            if not answer.get("failures") and not answer.get("error"):
                return answer
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    raise AssertionError("the platform does not answer " + url)
`;
}

const databaseClient = (params, r) => `    made = call("/database/v1/create?" + urllib.parse.urlencode(dict(${pythonParams(params)})), b"", "text/plain")["request"]
    of = "?" + urllib.parse.urlencode({"request": made["id"], "key": made["key"]})
    call("/database/v1/upload" + of, b"a dump", "application/octet-stream")
${begun(r) ? `    call("/database/v1/process" + of, b"", "text/plain")
    for _ in range(1000):
        if call("/database/v1/status" + of, b"", "text/plain")["request"]["state"] == ${JSON.stringify(r.state)}:
            return
        upgrademock.advance("1h")
` : ""}`;

const scriptClient = (params, r) => `    def rpc(method, **params):
        body = json.dumps({"jsonrpc": "2.0", "method": "not_used", "params": params}).encode()
        return call("/upgrade/request/" + method, body, "application/json")["result"]

    key, trusted, dump = tmp_path / "key", tmp_path / "known_hosts", tmp_path / "origin.sql"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    dump.write_text("-- PostgreSQL database dump\\n")
    token = rpc("create", actuator="cli", api_version="0.2", env_vars=[], ssh_key=(tmp_path / "key.pub").read_text(),
                ${pythonParams({ contract: params.contract, target: params.target, aim: params.aim })})["token"]
    for _ in range(10):
        port = rpc("transfer/start", token=token, transfer_type="upload")
        trusted.write_text(port["known_hosts"])
        ssh = f"ssh -p {port['ssh_port']} -o IdentitiesOnly=yes -o UserKnownHostsFile={trusted} -i {key}"
        if subprocess.run(["rsync", "-rlt", "-e", ssh, str(dump), "odoo@127.0.0.1:/data/origin.sql"]).returncode == 0:
            break
    rpc("transfer/stop", token=token)
${begun(r) ? `    rpc("process", token=token)
    for _ in range(1000):
        if rpc("status", token=token)["status"] == ${JSON.stringify(r.state)}:
            return
        upgrademock.advance("1h")
` : ""}`;

// goString is text as a literal of Go, over several lines where that goes.
const goString = (text) => (text.includes("`") ? JSON.stringify(text) : `\`${text}\``);

// go is a file of a package; its client is the real one of the module.
export function go(r, yaml, events) {
  const script = r.api === "script";
  const params = given(r, events);
  return `package upgrade_test

import (
	"context"
	"net/http"
${script ? '	"os"\n	"path/filepath"\n' : '	"strings"\n'}	"testing"
	"time"
${script ? '\n	"golang.org/x/crypto/ssh"\n' : ""}
	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

const whatHappened = ${goString(yaml)}

// What the scenario expects of a client is not judged. Leave AllowUnmetExpectations out to judge your own.
func TestUpgrade_${identifier(r)}(t *testing.T) {
	script, err := scenario.Parse("what happened", []byte(whatHappened))
	if err != nil {
		t.Fatal(err)
	}
	srv := mockservertest.New(t, &mockserver.Options{
		Scenarios: []*scenario.Scenario{script}, Clock: new(mockserver.ManualClock),
	}, mockservertest.AllowUnmetExpectations)
	hoursPass := func() { srv.Advance(time.Hour) }
	if err := upgradeMyDatabase(t.Context(), srv.Client(), ${script ? "srv.HTTPSURL()" : '"https://upgrade.odoo.com"'}, t.TempDir(), hoursPass); err != nil {
		t.Log(err)
	}
	if got := srv.Requests()[0].State; got != ${JSON.stringify(r.state)} {
		t.Errorf("the request is %s at the end", got)
	}
}

// upgradeMyDatabase stands for your code: put it here.
func upgradeMyDatabase(ctx context.Context, hc *http.Client, platform, dir string, wait func()) error {
	c, err := client.New(platform, &client.Options{HTTPClient: hc})
	if err != nil {
		return err
	}
	defer c.Close()
	again := &client.RetryOptions{Min: 10 * time.Millisecond, Max: 10 * time.Millisecond, Uncertain: true}
${script ? goScript(params, r) : goDatabase(params, r)}}
`;
}

const goDatabase = (params, r) => `	var req *client.Request
	err = client.Retry(ctx, again, func(ctx context.Context) error {
		req, err = c.Create(ctx, client.CreateParams{
			Contract: ${JSON.stringify(params.contract)}, Email: ${JSON.stringify(params.email)}, Target: ${JSON.stringify(params.target)},
			Aim: ${JSON.stringify(params.aim)}, Filename: ${JSON.stringify(params.filename)},
		}, nil)
		return err
	})
	if err != nil {
		return err
	}
	err = client.Retry(ctx, again, func(ctx context.Context) error {
		return c.Upload(ctx, req.Ref(), strings.NewReader("a dump"), 6, nil)
	})
	if err != nil {
		return err
	}
${begun(r) ? `	if err := client.Retry(ctx, again, func(ctx context.Context) error { return c.Process(ctx, req.Ref()) }); err != nil {
		return err
	}
	_, err = c.Wait(ctx, req.Ref(), &client.WaitOptions{
		Interval: 10 * time.Millisecond, MaxInterval: 10 * time.Millisecond,
		OnStatus: func(*client.Request) { wait() },
		Until:    func(r *client.Request) bool { return string(r.State) == ${JSON.stringify(r.state)} || r.State.Terminal() },
	})
	return err
` : "	return nil\n"}`;

const goScript = (params, r) => `	script, err := c.Script()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "origin.sql")
	if err := os.WriteFile(path, []byte("-- PostgreSQL database dump\\n"), 0o600); err != nil {
		return err
	}
	dump, err := client.OpenScriptDump(path)
	if err != nil {
		return err
	}
	signer, _, err := client.GenerateSSHKey()
	if err != nil {
		return err
	}
	var req *client.ScriptRequest
	err = client.Retry(ctx, again, func(ctx context.Context) error {
		req, err = script.Create(ctx, client.ScriptParams{
			Contract: ${JSON.stringify(params.contract)}, Target: ${JSON.stringify(params.target)}, Aim: ${JSON.stringify(params.aim)},
			SSHKey: signer.PublicKey(),
		}, nil)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := script.Upload(ctx, req.Ref(), dump, &client.ScriptTransferOptions{
		Signers: []ssh.Signer{signer}, Retry: again,
	}); err != nil {
		return err
	}
${begun(r) ? `	if err := client.Retry(ctx, again, func(ctx context.Context) error {
		_, err := script.Process(ctx, req.Ref())
		return err
	}); err != nil {
		return err
	}
	_, err = script.Wait(ctx, req.Ref(), &client.ScriptWaitOptions{
		Interval: 10 * time.Millisecond, MaxInterval: 10 * time.Millisecond,
		OnStatus: func(*client.ScriptStatus) { wait() },
	})
	return err
` : "	return nil\n"}`;
