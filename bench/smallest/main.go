// Command smallest is the smallest Go server, which the bench measures the emulator against: it answers GET with a
// file, and copies the body of everything else to one. It is a program of its own, since what else is in a program
// costs it speed.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 7 {
		fmt.Fprintln(os.Stderr, "usage: smallest HTTP-ADDR HTTPS-ADDR CERT-FILE KEY-FILE ANSWER-FILE UPLOAD-FILE")
		os.Exit(2)
	}
	addr, tlsAddr, certFile, keyFile, answerFile, upload := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5],
		os.Args[6]
	answer, err := os.ReadFile(answerFile)
	if err != nil {
		log.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			if err := save(upload, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	})
	go func() {
		// HTTP/1.1, as the emulator: HTTP/2 would slow it down.
		srv := http.Server{Addr: tlsAddr, Handler: handler, Protocols: new(http.Protocols)}
		srv.Protocols.SetHTTP1(true)
		log.Fatal(srv.ListenAndServeTLS(certFile, keyFile))
	}()
	log.Fatal(http.ListenAndServe(addr, handler))
}

func save(path string, body io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), "upload-*")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, body); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
