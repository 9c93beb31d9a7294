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
  if (r.api === "script") return rpc(about, r, "status", {}, base);
  return `curl -sS${trust(about, base)} ${quote(databaseCall(base, r, "status"))}`;
}

const trust = (about, base) => (base.startsWith("https:") ? ` --cacert ${quote(about.ca_file)}` : "");
const databaseCall = (base, r, method) => `${base}/database/v1/${method}?request=${r.id}&key=${encodeURIComponent(r.key)}`;

function rpc(about, r, method, params, base) {
  const body = JSON.stringify({ jsonrpc: "2.0", method: "not_used", params: { token: r.token, ...params } });
  return `curl -sS${trust(about, base)} -H 'Content-Type: application/json' -d ${quote(body)} ${base}/upgrade/request/${method}`;
}

// transferred is what a client may move now: its dump up, or what came of it down; "" is nothing.
export function transferred(r) {
  if (/^(draft|new)$/.test(r.state)) return "upload";
  return /^(done|delivered)$/.test(r.state) ? "download" : "";
}

// transfer is the lines that send the dump, or fetch what came of it, in the current directory: with sftp, or with rsync
// for the script API.
export function transfer(about, r) {
  const sftp = address(about, "sftp");
  const host = sftp.slice(0, sftp.lastIndexOf(":")).replace(/^\[|\]$/g, "") || "127.0.0.1";
  return r.api === "script" ? withRsync(about, r, host) : withSFTP(about, r, host, sftp.slice(sftp.lastIndexOf(":") + 1));
}

function withSFTP(about, r, host, port) {
  const base = address(about, "http", "https");
  const name = (r.status && r.status.filename) || "db_name.dump";
  const command = transferred(r) === "download" ? `get upgraded_${name}` : `put ${name}`;
  return `[ -f upgrade_key ] || ssh-keygen -q -t ed25519 -N '' -f upgrade_key
curl -sS${trust(about, base)} -F ssh_keys=@upgrade_key.pub ${quote(databaseCall(base, r, "request_sftp_access"))}
echo ${quote(command)} | sftp -b - -P ${port} -i upgrade_key -o IdentitiesOnly=yes -o UserKnownHostsFile=${quote(about.known_hosts)} user_${r.id}@${host}
`;
}

// withRsync needs the private half of the key that create was given.
function withRsync(about, r, host) {
  const base = address(about, "https", "http");
  const kind = transferred(r) === "download" ? "download" : "upload";
  const from = `odoo@${host}:/data/`;
  const move = kind === "upload" ? `"\${DUMP:-origin.dump}" ${from}`
    : `--ignore-missing-args ${from}"$(jq -r .result.dump_name transfer.json)" ${from}filestore ${from}upgrade-report.html ${from}upgrade.log .`;
  return `# SSH_KEY is the private half of the key that create was given${kind === "upload" ? ", DUMP what to send" : ""}
${rpc(about, r, "transfer/start", { transfer_type: kind }, base)} -o transfer.json
jq -r .result.known_hosts transfer.json > known_hosts
rsync --recursive --links --times --rsh="ssh -p $(jq .result.ssh_port transfer.json) -o IdentitiesOnly=yes -o UserKnownHostsFile=known_hosts -i \${SSH_KEY:-$HOME/.ssh/id_ed25519}" ${move}
${rpc(about, r, "transfer/stop", {}, base)}
`;
}
