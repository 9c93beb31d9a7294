package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/upgrademock/upgrademock/mockserver/internal/boltfile"
)

// database makes a database with two buckets, one of them with n values, some larger than a page.
func database(tb testing.TB, n int, opts bolt.Options) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "x.db")
	db, err := bolt.Open(path, 0o600, &opts)
	if err != nil {
		tb.Fatal(err)
	}
	for round := range 3 {
		err := db.Update(func(tx *bolt.Tx) error {
			inline, err := tx.CreateBucketIfNotExists([]byte("inline"))
			if err != nil {
				return err
			}
			b, err := tx.CreateBucketIfNotExists([]byte("many"))
			if err != nil {
				return err
			}
			for i := range n {
				key := binary.BigEndian.AppendUint64(nil, uint64(i))
				if round == 2 && i%3 == 0 {
					err = errors.Join(err, b.Delete(key))
				} else {
					err = errors.Join(err, b.Put(key, bytes.Repeat([]byte{byte(round)}, i%7*1000)))
				}
			}
			return errors.Join(err, inline.Put([]byte("a"), []byte("b")))
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestCheck_whole(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 3, 500} {
		for _, opts := range []bolt.Options{{}, {NoFreelistSync: true}, {PageSize: 1 << 10},
			{PageSize: 1 << 14, NoFreelistSync: true}} {
			t.Run(fmt.Sprintf("%d/%d/%v", n, opts.PageSize, opts.NoFreelistSync), func(t *testing.T) {
				t.Parallel()
				data := database(t, n, opts)
				buckets, err := boltfile.Check(bytes.NewReader(data), int64(len(data)))
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff([]string{"inline", "many"}, buckets); d != "" {
					t.Errorf("buckets (-want +got):\n%s", d)
				}
			})
		}
	}
}

// What is cut, wiped or foreign is found, wherever it is.
func TestCheck_damaged(t *testing.T) {
	t.Parallel()
	opts := bolt.Options{PageSize: 1 << 12, NoFreelistSync: true}
	whole := database(t, 60, opts)
	used := usedPages(t, whole)
	damaged := map[string][]byte{
		"empty": {}, "text": []byte("a letter to my aunt"), "zeros": make([]byte, 1<<16), "short": whole[:100],
		"one page": whole[:1<<12],
		"SQLite":   append([]byte("SQLite format 3\x00"), make([]byte, 8000)...),
	}
	for _, page := range used {
		at := page << 12
		damaged[fmt.Sprintf("cut at page %d", page)] = whole[:at]
		for name, with := range map[string]byte{"zeros": 0, "ones": 0xff, "garbage": 0xa5} {
			b := bytes.Clone(whole)
			for i := range 1 << 12 {
				b[at+i] = with
			}
			damaged[fmt.Sprintf("page %d of %s", page, name)] = b
		}
	}
	for name, data := range damaged {
		if _, err := boltfile.Check(bytes.NewReader(data), int64(len(data))); !errors.Is(err, boltfile.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One meta page may be lost: that is how a crash looks.
	for at := range 2 {
		b := bytes.Clone(whole)
		clear(b[at<<12 : (at+1)<<12])
		if _, err := boltfile.Check(bytes.NewReader(b), int64(len(b))); err != nil && at != newest(whole) {
			t.Errorf("without meta page %d, which is not the last: %v", at, err)
		}
	}
}

func newest(data []byte) int {
	txid := func(page int) uint64 { return binary.NativeEndian.Uint64(data[page<<12+16+48:]) }
	if txid(1) > txid(0) {
		return 1
	}
	return 0
}

// usedPages are the pages that begin a piece of the trees.
func usedPages(tb testing.TB, data []byte) []int {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "y.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	var used []int
	err = db.View(func(tx *bolt.Tx) error {
		for id := 2; ; id++ {
			info, err := tx.Page(id)
			if info == nil || err != nil {
				return err
			}
			if info.Type == "branch" || info.Type == "leaf" {
				used = append(used, id)
			}
			id += info.OverflowCount
		}
	})
	if err != nil || len(used) < 5 {
		tb.Fatalf("%d pages, %v", len(used), err)
	}
	return used
}

// FuzzCheck changes a database: what Check lets pass, bbolt opens, reads and writes without a panic.
func FuzzCheck(f *testing.F) {
	whole := database(f, 12, bolt.Options{PageSize: 1 << 10, NoFreelistSync: true})
	whole = whole[:min(len(whole), 64<<10)]
	f.Add(uint32(0), uint64(0), uint32(len(whole)))
	for at := uint32(0); at < 8<<10; at += 1 << 10 {
		f.Add(at+8, uint64(1)<<40, uint32(len(whole)))
		f.Add(at+16, uint64(0xff), uint32(len(whole)))
		f.Add(at+24, ^uint64(0), uint32(len(whole)))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, at uint32, flip uint64, size uint32) {
		data := bytes.Clone(whole[:min(int(size), len(whole))])
		if int(at)+8 <= len(data) {
			binary.LittleEndian.PutUint64(data[at:], binary.LittleEndian.Uint64(data[at:])^flip)
		}
		for _, page := range []int{0, 1 << 10} { // the sums are made right: what the pages say is to be looked at
			if len(data) >= page+80 {
				sum := fnv.New64a()
				sum.Write(data[page+16 : page+72])
				binary.NativeEndian.PutUint64(data[page+72:], sum.Sum64())
			}
		}
		_, err := boltfile.Check(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		file, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(file.Name())
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := bolt.Open(file.Name(), 0o600, &bolt.Options{NoSync: true, NoFreelistSync: true})
		if err != nil {
			t.Fatalf("Check lets pass what cannot be opened: %v", err)
		}
		defer db.Close()
		err = db.Update(func(tx *bolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
				return errors.Join(b.ForEach(func(k, v []byte) error { return nil }), b.Put([]byte("new"), make([]byte, 100)))
			})
		})
		if err != nil {
			t.Fatalf("Check lets pass what cannot be written: %v", err)
		}
	})
}
