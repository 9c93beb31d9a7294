package sftpserver_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// customer lets one user in, with one key, who sees one file that can only be read.
type customer struct {
	user string
	key  gossh.PublicKey
	dump []byte
}

func (c *customer) Share(user string, key gossh.PublicKey) (sftpserver.Share, error) {
	if user != c.user || !bytes.Equal(key.Marshal(), c.key.Marshal()) {
		return nil, sftpserver.ErrDenied
	}
	return c, nil
}

func (c *customer) Stat() (sftpserver.Info, error) {
	return sftpserver.Info{Name: "upgraded.dump", Size: int64(len(c.dump)), ModTime: time.Now(), ReadOnly: true}, nil
}

func (c *customer) Open(flag int) (sftpserver.File, error) {
	if flag != os.O_RDONLY {
		return nil, sftpserver.ErrDenied
	}
	return readOnly{bytes.NewReader(c.dump)}, nil
}

func (c *customer) Truncate(int64) error { return sftpserver.ErrDenied }

// readOnly is an open file.
type readOnly struct{ *bytes.Reader }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, sftpserver.ErrDenied }
func (readOnly) Append([]byte, int64) (int64, int, error) {
	return 0, 0, sftpserver.ErrDenied
}
func (readOnly) Truncate(int64) error { return sftpserver.ErrDenied }
func (readOnly) Close() error         { return nil }
func (readOnly) Abort(error) error    { return nil }

// A server with one user, and a client that fetches the file.
func Example() {
	key := exampleKey()
	srv, err := sftpserver.New(&sftpserver.Options{
		Shares: &customer{user: "user_1", key: key.PublicKey(), dump: []byte("CREATE TABLE …")},
		Observe: func(e sftpserver.Event) {
			if e.Kind == sftpserver.EventClose {
				fmt.Println("the client has read", e.Read, "of", e.Path)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	conn, err := gossh.Dial("tcp", l.Addr().String(), &gossh.ClientConfig{
		User: "user_1", Auth: []gossh.AuthMethod{gossh.PublicKeys(key)}, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := sftp.NewClient(conn)
	if err != nil {
		log.Fatal(err)
	}
	file, err := client.Open("upgraded.dump")
	if err != nil {
		log.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := file.WriteTo(&got); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the file is", got.String())
	file.Close()
	client.Close()

	srv.Close()
	if err := <-served; !errors.Is(err, sftpserver.ErrServerClosed) {
		log.Fatal(err)
	}

	// Output:
	// the file is CREATE TABLE …
	// the client has read [{0 16}] of /upgraded.dump
}

// exampleKey makes a key.
func exampleKey() gossh.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(key)
	if err != nil {
		log.Fatal(err)
	}
	return signer
}
