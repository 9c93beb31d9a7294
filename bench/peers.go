//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// peer is a server that the emulator is measured against.
type peer struct {
	*rig.Process
	url      string // of the HTTP servers, with the path that is measured
	httpsURL string
	port     int    // of sshd
	file     string // what an upload writes
}

// freePort is a port of loopback that nobody listens on just now: for servers that cannot choose one themselves.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// quarters is where a peer lives: an empty directory in parent, and free ports.
func quarters(parent, name string, ports int) (dir string, free []int, err error) {
	if dir, err = os.MkdirTemp(parent, name+"-*"); err != nil {
		return "", nil, err
	}
	for range ports {
		port, err := freePort()
		if err != nil {
			return "", nil, err
		}
		free = append(free, port)
	}
	return dir, free, nil
}

func accepts(port int) func() bool {
	return func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
}

// startSSHD starts OpenSSH's server for the user we are, with a configuration of its own that is Debian's in what
// matters: internal-sftp as the subsystem, every cipher it has.
func startSSHD(parent string, publicKey []byte) (*peer, error) {
	dir, ports, err := quarters(parent, "sshd", 1)
	if err != nil {
		return nil, err
	}
	port, keys := ports[0], filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(keys, publicKey, 0o600); err != nil {
		return nil, err
	}
	hostKey := filepath.Join(dir, "sshd_host_key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ecdsa", "-b", "256", "-N", "", "-f",
		hostKey).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ssh-keygen: %w\n%s", err, out)
	}
	config := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf(`ListenAddress 127.0.0.1
Port %d
HostKey %s
AuthorizedKeysFile %s
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 1000
Subsystem sftp internal-sftp
`, port, hostKey, keys)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 { // where it confines itself before a login
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	p, err := rig.Start(exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config))
	if err != nil {
		return nil, err
	}
	return &peer{Process: p, port: port}, rig.Await(p, accepts(port))
}

// startNginx starts nginx to take uploads with PUT, straight into a file.
func startNginx(parent, certFile, keyFile string) (*peer, error) {
	dir, ports, err := quarters(parent, "nginx", 2)
	if err != nil {
		return nil, err
	}
	port, tlsPort := ports[0], ports[1]
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off;
user %[1]s;
worker_processes auto;
pid %[2]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_max_body_size 0;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	server {
		listen 127.0.0.1:%[3]d;
		listen 127.0.0.1:%[4]d ssl;
		ssl_certificate %[5]s;
		ssl_certificate_key %[6]s;
		root %[2]s;
		location / { dav_methods PUT; }
	}
}
`, me.Username, dir, port, tlsPort, certFile, keyFile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := rig.Start(exec.Command("nginx", "-c", config, "-p", dir, "-e", "stderr"))
	if err != nil {
		return nil, err
	}
	return &peer{
		Process: p, url: fmt.Sprintf("http://127.0.0.1:%d/upload", port), httpsURL: fmt.Sprintf("https://127.0.0.1:%d/upload",
			tlsPort),
		file: filepath.Join(dir, "upload"),
	}, rig.Await(p, accepts(port))
}

// pair is the emulator and sshd, one beside the other.
type pair struct {
	e    *rig.Emulator
	sshd *peer
	user string // who may log in at sshd
}

func (b *bench) startPair() (*pair, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	e, err := b.emulator()
	if err != nil {
		return nil, err
	}
	sshd, err := startSSHD(b.dir, b.publicKey)
	if err != nil {
		e.Kill()
		return nil, err
	}
	return &pair{e, sshd, me.Username}, nil
}

func (p *pair) kill() {
	p.e.Kill()
	p.sshd.Kill()
}

// startSmallest starts the smallest Go server, bench/smallest: it answers GET with answer, and copies the body of
// everything else to a file.
func (b *bench) startSmallest(answer []byte) (*peer, error) {
	dir, ports, err := quarters(b.dir, "smallest", 2)
	if err != nil {
		return nil, err
	}
	port, tlsPort := ports[0], ports[1]
	answerFile := filepath.Join(dir, "answer.json")
	if err := os.WriteFile(answerFile, answer, 0o600); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "upload")
	p, err := rig.Start(exec.Command(b.smallest, "127.0.0.1:"+strconv.Itoa(port), "127.0.0.1:"+strconv.Itoa(tlsPort),
		b.certFile, b.keyFile, answerFile, file))
	if err != nil {
		return nil, err
	}
	return &peer{
		Process: p, url: fmt.Sprintf("http://127.0.0.1:%d/", port), httpsURL: fmt.Sprintf("https://127.0.0.1:%d/", tlsPort),
		file: file,
	}, rig.Await(p, accepts(port))
}

// writeCertificate makes a certificate for loopback, of the type that the emulator shows.
func writeCertificate(dir string) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return "", "", err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		0o600); err != nil {
		return "", "", err
	}
	_, err = tls.LoadX509KeyPair(certFile, keyFile)
	return certFile, keyFile, err
}
