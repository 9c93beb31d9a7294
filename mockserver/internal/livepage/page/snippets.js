// Lines to paste elsewhere.

const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${String(text).replaceAll("'", `'\\''`)}'`);

const address = (about, ...names) => {
  for (const name of names) {
    const l = about.listeners.find((one) => one.name === name);
    if (l) return l.address;
  }
  return "";
};

// curl polls the request as a client does.
export function curl(about, r) {
  const base = address(about, "http", "https");
  const trust = base.startsWith("https:") ? ` --cacert ${quote(about.ca_file)}` : "";
  if (r.api === "script") {
    const body = JSON.stringify({ jsonrpc: "2.0", method: "not_used", params: { token: r.token } });
    return `curl -sS${trust} -H 'Content-Type: application/json' -d ${quote(body)} ${base}/upgrade/request/status`;
  }
  return `curl -sS${trust} ${quote(`${base}/database/v1/status?request=${r.id}&key=${encodeURIComponent(r.key)}`)}`;
}

// transfer is the line that sends the dump: with sftp, or with rsync for the script API, whose port is that of a transfer.
export function transfer(about, r) {
  const sftp = address(about, "sftp");
  const host = sftp.slice(0, sftp.lastIndexOf(":")).replace(/^\[|\]$/g, "") || "127.0.0.1";
  if (r.api === "script") {
    const url = address(about, "https", "http");
    const trust = url.startsWith("https:") ? `--cacert ${quote(about.ca_file)} ` : "";
    const body = JSON.stringify({ jsonrpc: "2.0", method: "not_used", params: { token: r.token, transfer_type: "upload" } });
    return `started=$(curl -sS ${trust}-H 'Content-Type: application/json' -d ${quote(body)} ${url}/upgrade/request/transfer/start)\n` +
      `jq -r .result.known_hosts <<< "$started" > known_hosts\n` +
      `rsync --recursive --links --times --rsh="ssh -p $(jq .result.ssh_port <<< "$started") -o UserKnownHostsFile=known_hosts -i ~/.ssh/id_ed25519" ` +
      `origin.dump odoo@${host}:/data/`;
  }
  const name = (r.status && r.status.filename) || "db_name.dump";
  const port = sftp.slice(sftp.lastIndexOf(":") + 1);
  return `echo ${quote(`put ${name}`)} | sftp -b - -P ${port} -o UserKnownHostsFile=${quote(about.known_hosts)} user_${r.id}@${host}`;
}

const identifier = (name) => name.replace(/[^A-Za-z0-9]+/g, "_");

// pytest runs a client under the scenario of what happened, which is saved beside the test.
export const pytest = (name) => `import pytest


@pytest.mark.upgrademock("${name}.yaml")
def test_${identifier(name)}(upgrademock):
    upgrade_my_database()  # your code, with https://upgrade.odoo.com in it
    assert [r["state"] for r in upgrademock.requests()] == ["done"]
`;

// go does the same in Go, with the scenario in the test.
export const go = (name, yaml) => `func TestUpgrade_${identifier(name)}(t *testing.T) {
	script, err := scenario.Parse("${name}.yaml", []byte(${goString(yaml)}))
	if err != nil {
		t.Fatal(err)
	}
	srv := mockservertest.New(t, &mockserver.Options{Scenarios: []*scenario.Scenario{script}})
	if err := upgradeMyDatabase(srv.Client(), "https://upgrade.odoo.com"); err != nil { // your code
		t.Error(err)
	}
}
`;

const goString = (text) => (text.includes("`") ? JSON.stringify(text) : "`" + text + "`");
