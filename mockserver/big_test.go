package mockserver_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// Everything works beyond 4 GiB, where 32 bits end. The dump is a hole with something in the middle, which
// costs neither time nor disk.
func TestBig(t *testing.T) {
	t.Parallel()
	const size, mark = int64(5<<30 + 12_345), int64(4<<30 - 10)
	text := []byte("across the edge of 32 bits")
	w := onWire(t, nil)
	m := w.create()
	w.grant(m, "rsa")
	c := w.login(m, "rsa")
	f, err := c.OpenFile("/db_name.dump", os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Truncate(size - 7)
	_, err2 := f.WriteAt(text, mark)
	if err := errors.Join(err, err2, f.Close()); err != nil {
		if strings.Contains(err.Error(), "large") || strings.Contains(err.Error(), "space") {
			t.Skipf("this file system holds no sparse files: %v", err)
		}
		t.Fatal(err)
	}
	// Resumed by size, as put -a does.
	info, err := c.Stat("/db_name.dump")
	if err != nil || info.Size() != size-7 {
		t.Fatalf("%v, %v", info, err)
	}
	f, err = c.OpenFile("/db_name.dump", os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("the end"), info.Size())
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	// Appended to and broken off: what was complete stays, and the size is that of what has arrived.
	f, err = c.OpenFile("/db_name.dump", os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), size+1); err != nil {
		t.Fatal(err)
	}
	w.cut(c)
	c = w.login(m, "rsa")
	if got := w.settled(c, size); got != size {
		t.Errorf("%d bytes after the break, want %d", got, size)
	}

	if s := w.status(m); s["filesize"] != "5.00 Gb" {
		t.Errorf("filesize %v", s["filesize"])
	}
	w.finish(m)
	url := w.urls(m)["upgraded_dump_url"]
	head, _ := w.do("HEAD", url, nil, nil)
	if head.ContentLength != size {
		t.Errorf("Content-Length %d, want %d", head.ContentLength, size)
	}
	for _, tc := range []struct {
		from, to int64
		want     string
	}{
		{mark, mark + int64(len(text)), string(text)},
		{mark + 10, mark + int64(len(text)), string(text[10:])},
		{size - 7, size, "the end"},
		{1<<32 - 20, 1<<32 - 10, strings.Repeat("\x00", 10)},
	} {
		resp, body := w.get(url, "Range", fmt.Sprintf("bytes=%d-%d", tc.from, tc.to-1), "If-Range", head.Header.Get("ETag"))
		want := fmt.Sprintf("bytes %d-%d/%d", tc.from, tc.to-1, size)
		if resp.StatusCode != http.StatusPartialContent || resp.Header.Get("Content-Range") != want ||
			string(body) != tc.want {
			t.Errorf("bytes from %d: %s, %s, %q; want %s, %q", tc.from, resp.Status, resp.Header.Get("Content-Range"), body,
				want, tc.want)
		}
	}
	w.grant(m, "rsa")
	f, err = w.login(m, "rsa").Open("/upgraded_db_name.dump")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, len(text))
	if _, err := f.ReadAt(got, mark); err != nil || string(got) != string(text) {
		t.Errorf("over SFTP: %q, %v", got, err)
	}
}
