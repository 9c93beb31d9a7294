// Package boltfile checks a bbolt database before bbolt opens it.
//
// bbolt maps the file into memory and trusts it: a file that was cut ends the process with a signal, and a page that is
// damaged with a panic, partly in goroutines of its own, where nobody can recover it (freepages, which is always used
// where the list of free pages is not kept). Check reads the file with plain reads and finds both. It follows the file
// format of bbolt 1.3 to 1.5, version 2.
package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

const (
	magic   = 0xED0CDAED
	version = 2

	pageHeader    = 16
	metaSize      = 64 // with its checksum
	elementSize   = 16
	bucketSize    = 16
	maxPageSize   = 1 << 16
	bucketElement = 1 // flag of a leaf element that is a bucket

	branchPage   = 1
	leafPage     = 2
	freelistPage = 16

	noFreelist = 1<<64 - 1
)

// ErrDamaged is returned for what bbolt could not use, and for what is no bbolt database.
var ErrDamaged = errors.New("not a whole database")

func damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// Check reads the database of size bytes, and returns the names of its top-level buckets. It reads each page once. The
// error is ErrDamaged or that of reading.
func Check(file io.ReaderAt, size int64) (buckets []string, err error) {
	if size == 0 {
		return nil, damagedf("it is empty")
	}
	m, err := newestMeta(file, size)
	if err != nil {
		return nil, err
	}
	c := checker{file: file, meta: m, seen: make(map[uint64]bool)}
	if need := m.pages; need > uint64(size)/uint64(m.pageSize) {
		return nil, damagedf("it has %d bytes, and should have %d pages of %d", size, m.pages, m.pageSize)
	}
	if err := c.page(m.root, bounds{}, func(name []byte) { buckets = append(buckets, string(name)) }); err != nil {
		return nil, err
	}
	return buckets, c.freelist()
}

// meta is what a meta page says.
type meta struct {
	pageSize                      uint32
	root, freelist, pages, commit uint64
}

// newestMeta is the meta that bbolt takes: the later one that is valid.
func newestMeta(file io.ReaderAt, size int64) (meta, error) {
	first, err := readMeta(file, 0)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return meta{}, err
	}
	best, found := first, err == nil
	for pageSize := int64(1 << 10); pageSize <= maxPageSize && pageSize < size; pageSize <<= 1 {
		if found && pageSize != int64(first.pageSize) {
			continue
		}
		second, err := readMeta(file, pageSize)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return meta{}, err
		}
		if err == nil && int64(second.pageSize) == pageSize && (!found || second.commit > best.commit) {
			best, found = second, true
			break
		}
	}
	if !found {
		return meta{}, damagedf("it does not begin as one")
	}
	return best, nil
}

func readMeta(file io.ReaderAt, at int64) (meta, error) {
	var page [pageHeader + metaSize]byte
	if _, err := file.ReadAt(page[:], at); errors.Is(err, io.EOF) {
		return meta{}, damagedf("it ends in its beginning")
	} else if err != nil {
		return meta{}, err
	}
	b := page[pageHeader:]
	order := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(b[:56])
	m := meta{
		pageSize: order.Uint32(b[8:]), root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		pages: order.Uint64(b[40:]), commit: order.Uint64(b[48:]),
	}
	switch {
	case order.Uint32(b) != magic || order.Uint32(b[4:]) != version || order.Uint64(b[56:]) != sum.Sum64():
		return meta{}, damagedf("a meta page is not valid")
	case m.pageSize < 1<<10 || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0:
		return meta{}, damagedf("pages of %d bytes", m.pageSize)
	}
	return m, nil
}

type checker struct {
	file io.ReaderAt
	meta meta
	seen map[uint64]bool // pages that are in use
}

// bounds are the keys that a page may have: from low up to but without high; nil is no bound.
type bounds struct{ low, high []byte }

// read returns a page with what overflows it, whose header is checked, and counts all of it as used.
func (c *checker) read(id uint64) ([]byte, error) {
	if id < 2 || id >= c.meta.pages {
		return nil, damagedf("page %d is outside", id)
	}
	size := int64(c.meta.pageSize)
	page := make([]byte, size)
	if _, err := c.file.ReadAt(page, int64(id)*size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(page[12:]))
	if got := binary.NativeEndian.Uint64(page); got != id {
		return nil, damagedf("page %d says that it is page %d", id, got)
	}
	if overflow >= c.meta.pages-id {
		return nil, damagedf("page %d goes on outside", id)
	}
	for i := id; i <= id+overflow; i++ {
		if c.seen[i] {
			return nil, damagedf("page %d is used twice", i)
		}
		c.seen[i] = true
	}
	if overflow > 0 {
		page = append(page, make([]byte, overflow*uint64(size))...)
		if _, err := c.file.ReadAt(page[size:], int64(id+1)*size); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return page, nil
}

// page checks a page of a tree and all below it. Each bucket in it is checked, and its name given to found, unless that
// is nil.
func (c *checker) page(id uint64, within bounds, found func(name []byte)) error {
	page, err := c.read(id)
	if err != nil {
		return err
	}
	if err := c.elements(page, within, found); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements checks what is on a page, or in a bucket that is stored inline.
func (c *checker) elements(page []byte, within bounds, found func(name []byte)) error {
	order := binary.NativeEndian
	kind, count := order.Uint16(page[8:]), int(order.Uint16(page[10:]))
	if kind != branchPage && kind != leafPage {
		return damagedf("it is of kind %#x", kind)
	}
	if kind == branchPage && count == 0 {
		return damagedf("it leads nowhere")
	}
	data := page[pageHeader:]
	if count*elementSize > len(data) {
		return damagedf("%d elements have no room", count)
	}
	keys := make([][]byte, count)
	values := make([][]byte, count) // of a leaf
	for i := range count {
		at := i * elementSize
		element := data[at:]
		var pos, keySize, valueSize uint64
		if kind == branchPage { // position, size of key, page
			pos, keySize = uint64(order.Uint32(element)), uint64(order.Uint32(element[4:]))
		} else { // flags, position, size of key, size of value
			pos, keySize, valueSize = uint64(order.Uint32(element[4:])), uint64(order.Uint32(element[8:])),
				uint64(order.Uint32(element[12:]))
		}
		begin := uint64(at) + pos
		if pos < elementSize || begin+keySize+valueSize > uint64(len(data)) {
			return damagedf("element %d lies outside", i)
		}
		keys[i], values[i] = data[begin:begin+keySize], data[begin+keySize:begin+keySize+valueSize]
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 {
			return damagedf("element %d is out of order", i)
		}
		if within.low != nil && bytes.Compare(keys[i], within.low) < 0 || within.high != nil &&
			bytes.Compare(keys[i], within.high) >= 0 {
			return damagedf("element %d belongs elsewhere", i)
		}
	}
	for i := range count {
		element := data[i*elementSize:]
		if kind == branchPage {
			below := bounds{low: keys[i], high: within.high}
			if i+1 < count {
				below.high = keys[i+1]
			}
			if err := c.page(order.Uint64(element[8:]), below, found); err != nil {
				return err
			}
			continue
		}
		switch flags := order.Uint32(element); flags {
		case 0:
		case bucketElement:
			if found != nil {
				found(keys[i])
			}
			if err := c.bucket(values[i]); err != nil {
				return err
			}
		default:
			return damagedf("element %d is of kind %#x", i, flags)
		}
	}
	return nil
}

// bucket checks a bucket: the page that its value names, or what follows in the value.
func (c *checker) bucket(value []byte) error {
	if len(value) < bucketSize {
		return damagedf("a bucket of %d bytes", len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return c.page(root, bounds{}, nil)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != leafPage {
		return damagedf("a bucket without a page")
	}
	return c.elements(inline, bounds{}, nil)
}

// freelist checks the list of free pages, where there is one.
func (c *checker) freelist() error {
	if c.meta.freelist == noFreelist {
		return nil
	}
	page, err := c.read(c.meta.freelist)
	if err != nil {
		return fmt.Errorf("the free pages: %w", err)
	}
	order := binary.NativeEndian
	if kind := order.Uint16(page[8:]); kind != freelistPage {
		return damagedf("the free pages: page %d is of kind %#x", c.meta.freelist, kind)
	}
	list := page[pageHeader:]
	count := uint64(order.Uint16(page[10:]))
	if count == 0xFFFF { // the number does not fit, and is the first of the list
		count, list = order.Uint64(list), list[8:]
	}
	if count > uint64(len(list))/8 {
		return damagedf("the free pages: %d have no room", count)
	}
	before := uint64(1)
	for i := range count {
		id := order.Uint64(list[i*8:])
		if id <= before || id >= c.meta.pages || c.seen[id] {
			return damagedf("the free pages: page %d is not free", id)
		}
		before = id
	}
	return nil
}
