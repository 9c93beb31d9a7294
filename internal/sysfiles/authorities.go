package sysfiles

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/upgrademock/upgrademock/internal/clientenv"
)

// directories are where systems keep their authorities as files that OpenSSL finds by the hash of their subject.
var directories = []string{
	"/etc/ssl/certs",     // Debian, Alpine, openSUSE, Arch
	"/etc/pki/tls/certs", // Fedora
	"/etc/pki/ca-trust/extracted/pem/directory-hash",
}

// keyStores are where Java keeps its authorities, as globs.
var keyStores = []string{
	"/etc/ssl/certs/java/cacerts",
	"/etc/pki/java/cacerts",
	"/etc/pki/ca-trust/extracted/java/cacerts",
	"/usr/lib/jvm/*/lib/security/cacerts",
	"/usr/lib/jvm/*/jre/lib/security/cacerts",
	"/opt/java/openjdk/lib/security/cacerts",
}

// authorities makes the files that say which authorities are trusted.
func (m *maker) authorities() error {
	bundle, err := os.ReadFile(m.Bundle)
	if err != nil {
		return err
	}
	if err := m.hashed(bundle); err != nil { // first: other files are in these directories
		return err
	}
	for _, path := range append(slices.Clone(clientenv.Bundles), "/etc/pki/tls/cert.pem") {
		if path = m.system(path); isThere(path) {
			m.put(m.Bundle, path)
		}
	}
	for _, path := range find(m.certifi()) {
		m.put(m.Bundle, path)
	}
	globs := m.java()
	for _, glob := range keyStores {
		globs = append(globs, m.system(glob))
	}
	stores := find(globs)
	if len(stores) == 0 {
		return nil
	}
	made := filepath.Join(m.Dir, "cacerts")
	data, err := keyStore(bundle)
	if err != nil {
		return fmt.Errorf("make a key store for Java: %w", err)
	}
	if err := errors.Join(os.WriteFile(made, data, 0o600), os.Chmod(made, 0o644)); err != nil {
		return err
	}
	for _, path := range stores {
		m.put(made, path)
	}
	return nil
}

// find are the files that globs find, each once.
func find(globs []string) (found []string) {
	for _, glob := range globs {
		paths, _ := filepath.Glob(glob)
		for _, path := range paths {
			if isThere(path) && !slices.Contains(found, path) {
				found = append(found, path)
			}
		}
	}
	return found
}

// hashed makes directories like those of the system in which our authority is, too.
func (m *maker) hashed(bundle []byte) error {
	block, _ := pem.Decode(m.Authority)
	if block == nil {
		return errors.New("the authority is no PEM")
	}
	authority, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	var done []string
	for i, path := range directories {
		dir, err := filepath.EvalSymlinks(m.system(path))
		if err != nil || slices.Contains(done, dir) {
			continue
		}
		done = append(done, dir)
		made := filepath.Join(m.Dir, fmt.Sprintf("certs%d", i))
		if err := copyDirectory(dir, made); err != nil {
			return err
		}
		files := map[string][]byte{hashedName(made, authority): m.Authority}
		for _, bundled := range clientenv.Bundles { // a system without authorities may have a place for them
			name := filepath.Base(bundled)
			if _, err := os.Lstat(filepath.Join(made, name)); err != nil && filepath.Dir(bundled) == path {
				files[name] = bundle
			}
		}
		for name, data := range files {
			file := filepath.Join(made, name)
			if err := errors.Join(os.WriteFile(file, data, 0o600), os.Chmod(file, 0o644)); err != nil {
				return err
			}
		}
		m.put(made, dir)
	}
	return nil
}

// copyDirectory copies what everybody may read of a directory, links as links, since the copy is seen in its place.
func copyDirectory(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(to, 0o700), os.Chmod(to, 0o755)); err != nil {
		return err
	}
	for _, entry := range entries {
		old, made := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		switch {
		case entry.IsDir():
			if err := copyDirectory(old, made); err != nil && !errors.Is(err, os.ErrPermission) {
				return err
			}
		case entry.Type()&os.ModeSymlink != 0:
			leads, err := os.Readlink(old)
			if err := errors.Join(err, os.Symlink(leads, made)); err != nil {
				return err
			}
		case entry.Type().IsRegular():
			info, err := entry.Info()
			if err != nil || info.Mode().Perm()&0o004 == 0 {
				continue
			}
			data, err := os.ReadFile(old)
			if err := errors.Join(err, os.WriteFile(made, data, 0o600), os.Chmod(made, info.Mode().Perm())); err != nil {
				return err
			}
		}
	}
	return nil
}

// hashedName is a free name under which OpenSSL finds the certificate in the directory: c_rehash(1).
func hashedName(dir string, cert *x509.Certificate) string {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%08x.%d", subjectHash(cert), n)
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			return name
		}
	}
}

// subjectHash is the hash of OpenSSL's X509_subject_name_hash(3): of the subject without its outermost header, with all
// texts in UTF-8, in small letters and with single spaces.
func subjectHash(cert *x509.Certificate) uint32 {
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value string `asn1:"utf8"`
	}
	var subject pkix.RDNSequence
	if _, err := asn1.Unmarshal(cert.RawSubject, &subject); err != nil {
		panic("sysfiles: a parsed certificate without a subject: " + err.Error())
	}
	var canonical []byte
	for _, names := range subject {
		var set []attribute
		for _, name := range names {
			text := strings.ToLower(strings.Join(strings.Fields(fmt.Sprint(name.Value)), " "))
			set = append(set, attribute{name.Type, text})
		}
		encoded, err := asn1.MarshalWithParams(set, "set")
		if err != nil {
			panic("sysfiles: a subject that cannot be encoded: " + err.Error())
		}
		canonical = append(canonical, encoded...)
	}
	sum := sha1.Sum(canonical)
	return binary.LittleEndian.Uint32(sum[:])
}

// keyStore is a key store of Java's with the authorities of a bundle.
func keyStore(bundle []byte) ([]byte, error) {
	store := keystore.New(keystore.WithOrderedAliases())
	for n := 0; ; n++ {
		block, rest := pem.Decode(bundle)
		if block == nil {
			break
		}
		bundle = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		if err := store.SetTrustedCertificateEntry(fmt.Sprintf("authority%d", n), keystore.TrustedCertificateEntry{
			CreationTime: time.Unix(0, 0),
			Certificate:  keystore.Certificate{Type: "X509", Content: block.Bytes},
		}); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	err := store.Store(&b, []byte("changeit")) // as everywhere; it is no secret
	return b.Bytes(), err
}
