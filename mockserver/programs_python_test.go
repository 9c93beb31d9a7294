//go:build unix

package mockserver_test

import (
	"testing"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// The whole way in Python, as the page's other samples go: pycurl and requests over HTTPS, paramiko over SFTP.
func TestPrograms_python(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ module, debian, script string }{
		"pycurl": {"pycurl", "python3-pycurl", `
import io, json, os, pycurl
from urllib.parse import urlencode

def call(method, fields=None, query=None, options=()):
    c, data = pycurl.Curl(), io.BytesIO()
    c.setopt(pycurl.URL, base + method + ("?" + urlencode(query) if query else ""))
    c.setopt(pycurl.CAINFO, os.environ["SSL_CERT_FILE"])
    if fields:
        c.setopt(c.POSTFIELDS, urlencode(fields))
    for option, value in options:
        c.setopt(option, value)
    c.setopt(c.WRITEFUNCTION, data.write)
    c.perform()
    assert c.getinfo(pycurl.HTTP_CODE) == 200
    c.close()
    answer = json.loads(data.getvalue().decode())
    assert answer["failures"] == [], answer
    return answer.get("request")

r = call("create", sample)
ref = {"request": str(r["id"]), "key": r["key"]}
fp = open("dump", "rb")
call("upload", query=ref, options=[(pycurl.POST, 1), (pycurl.POSTFIELDSIZE, os.path.getsize("dump")), (pycurl.READFUNCTION, fp.read),
                                   (pycurl.HTTPHEADER, ["Content-Type: application/octet-stream"])])
a = call("request_sftp_access", query=ref, options=[(pycurl.POST, 1), (pycurl.HTTPPOST, [
    ("ssh_keys", (pycurl.FORM_FILE, "authorized_keys", pycurl.FORM_CONTENTTYPE, "text/plain"))])])
assert a["sftp_user"] == "user_%d" % r["id"] and int(a["sftp_port"]) > 0 and a["shared_file"] == "db_name.dump"
call("process", ref)
while r["state"] != "done":
    r = call("status", ref)
c = pycurl.Curl()
c.setopt(pycurl.URL, r["upgraded_dump_url"])
c.setopt(pycurl.CAINFO, os.environ["SSL_CERT_FILE"])
with open("got", "wb") as out:
    c.setopt(pycurl.WRITEDATA, out)
    c.perform()
`},
		"requests": {"requests", "python3-requests", `
import json, requests

s = requests.Session()
def good(response):
    assert response.status_code == 200 and response.headers["Content-Type"] == "application/json", response
    answer = response.json()
    assert answer["failures"] == [], answer
    return answer.get("request")

bad = s.post(base + "create", data=dict(sample, target="5.0", contract="M123456-abcxyz")).json()
assert [f["reason"] for f in bad["failures"]] == ["TARGET:INVALID", "CONTRACT:NOT_FOUND"] and "request" not in bad
r = good(s.get(base + "create", data=sample))                     # a form body with GET
ref = {"request": r["id"], "key": r["key"]}
def halves():
    with open("dump", "rb") as f:
        yield f.read(100000)
        yield f.read()
good(s.post(base + "upload", params=ref, data=halves()))          # chunked
good(s.post(base + "upload", params=ref, data=open("dump", "rb"))) # streamed, without a type
good(s.post(base + "request_sftp_access", data=ref, files={"ssh_keys": open("authorized_keys", "rb")}))
good(s.post(base + "request_sftp_access", params=dict(ref, ssh_keys=open("authorized_keys").read())))
good(s.post(base + "process", files={name: (None, str(value)) for name, value in ref.items()}))
while r["state"] != "done":
    r = good(s.post(base + "status", data=ref))
first = s.get(r["upgraded_dump_url"], headers={"Range": "bytes=0-99999"})
rest = s.get(r["upgraded_dump_url"], headers={"Range": "bytes=100000-", "If-Range": first.headers["ETag"]}, stream=True)
assert (first.status_code, rest.status_code) == (206, 206)
with open("got", "wb") as out:
    out.write(first.content)
    for piece in rest.iter_content(65536):
        out.write(piece)
`},
		"paramiko": {"paramiko", "python3-paramiko", `
import json, os, urllib.parse, urllib.request, ssl, paramiko

context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
def call(method, **fields):
    body = urllib.parse.urlencode(fields).encode()
    answer = json.load(urllib.request.urlopen(base + method, body, context=context))
    assert answer["failures"] == [], answer
    return answer.get("request")

def login(key):
    a = call("request_sftp_access", ssh_keys=open("authorized_keys").read(), **ref)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(a["hostname"], int(a["sftp_port"]), a["sftp_user"], pkey=key, look_for_keys=False, allow_agent=False)
    assert client.get_transport().get_remote_server_key().get_name() == "ecdsa-sha2-nistp256"
    return client, client.open_sftp()

r = call("create", **sample)
ref = {"request": r["id"], "key": r["key"]}
key = paramiko.Ed25519Key.from_private_key_file("id")
data = open("dump", "rb").read()
ssh, sftp = login(key)
assert sftp.listdir("/") == ["db_name.dump"] and sftp.stat("db_name.dump").st_size == 0
with sftp.open("db_name.dump", "wb") as f:
    f.set_pipelined(True)
    f.write(data[:200000])
with sftp.open("db_name.dump", "ab") as f:                        # appended, without waiting for answers
    f.set_pipelined(True)
    for at in range(200000, len(data), 30000):
        f.write(data[at:at + 30000])
assert sftp.stat("db_name.dump").st_size == len(data)
with sftp.open("db_name.dump", "r+b") as f:                       # overwritten in the middle, with the same
    f.seek(1000)
    f.write(data[1000:5000])
sftp.chmod("db_name.dump", 0o600)
sftp.utime("db_name.dump", None)
for refused in (lambda: sftp.mkdir("d"), lambda: sftp.remove("db_name.dump"), lambda: sftp.open("other", "w"), lambda: sftp.rename("db_name.dump", "b")):
    try:
        refused()
    except IOError:
        pass
    else:
        raise AssertionError("not refused")
with sftp.open("db_name.dump", "rb") as f:
    f.prefetch()
    assert f.read() == data
sftp.put("dump", "/db_name.dump", confirm=True)
ssh.close()
call("process", **ref)
while r["state"] != "done":
    r = call("status", **ref)
ssh, sftp = login(key)
sftp.get("upgraded_db_name.dump", "got")
ssh.close()
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothWires(t, nil, func(t *testing.T, w *wire) {
				python := testprog.NeedPython(t, tc.module, tc.debian)
				testprog.OneIn(t, 3)
				b := newBench(t, w)
				dump := pattern(400_000, 2)
				b.write("dump", dump)
				preamble := `
import os
base = os.environ["BASE"] + "/database/v1/"
sample = {"contract": "M123456-abcdef", "email": "john.doe@example.com", "target": "8.0", "aim": "test", "filename": "db_name.dump"}
`
				b.write("client.py", []byte(preamble+tc.script))
				cmd, out := b.command(python, "client.py")
				if err := cmd.Run(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				same(t, "the upgraded dump", b.read("got"), dump)
			})
		})
	}
}
