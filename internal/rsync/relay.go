package rsync

import (
	"fmt"
	"slices"
	"strings"
)

// A program gets lists of its own: of an upload, regular files and directories, with the names that they have below
// the root; of a download, the regular files, named by numbers in the same order. A relayed transfer translates.

// directory, in place of the index of a file, means that it is none.
const directory = -1

// A placed file is one of the program's list.
type placed struct {
	name  string // below the root
	index int32  // in the client's list, or directory
}

// An arrival is a file that the program has been given, and has yet to move into place.
type arrival struct {
	i int32 // in the client's list
	File
}

type relayedUpload struct {
	*upload
	to      []placed
	from    []int32 // for each entry of list, its index in to
	arrived []arrival
	emit    func([]byte) error
}

// send is the parser of what the client sends; emit takes what the program is to read.
func (t *relayedUpload) send(r *reader, emit func([]byte) error) error {
	if err := r.version(); err != nil {
		return err
	}
	if err := emit(appendInt32(nil, protocolVersion)); err != nil {
		return err
	}
	if err := t.readList(r); err != nil {
		return err
	}
	t.emit = emit
	t.place()
	if err := t.emitList(); err != nil {
		return err
	}
	var b [4]byte
	for phase := 0; phase < 2; {
		i, err := r.int32()
		if err != nil {
			return err
		}
		if i == phaseEnd {
			phase++
			if err := emit(appendInt32(b[:0], phaseEnd)); err != nil {
				return err
			}
			continue
		}
		if err := t.receiveFile(r, i, t); err != nil {
			return err
		}
	}
	return nil
}

// place makes the program's list. The directories are there already.
func (t *relayedUpload) place() {
	t.from = make([]int32, len(t.list))
	if !t.single {
		t.to = append(t.to, placed{t.c.Paths[0], directory})
	}
	t.eachDir(func(dir string) error {
		t.to = append(t.to, placed{dir, directory})
		return nil
	})
	for i, e := range t.list {
		if e.kind == modeRegular {
			t.to = append(t.to, placed{t.name(int32(i)), int32(i)})
		}
	}
	slices.SortFunc(t.to, func(a, b placed) int { return strings.Compare(a.name, b.name) })
	t.to = slices.CompactFunc(t.to, func(a, b placed) bool { return a.name == b.name })
	for i, p := range t.to {
		if p.index != directory {
			t.from[p.index] = int32(i)
		}
	}
}

func (t *relayedUpload) emitList() error {
	b := make([]byte, 0, maxRun)
	for _, p := range t.to {
		e := entry{name: p.name, size: 4096, kind: modeDir}
		if p.index != directory {
			e = t.list[p.index]
			e.name = p.name
		}
		b = e.append(b, &Command{})
		if len(b) < maxRun-maxPath-64 {
			continue
		}
		if err := t.emit(b); err != nil {
			return err
		}
		b = b[:0]
	}
	return t.emit((&Command{}).appendEnd(b, false))
}

func (t *relayedUpload) begin(i int32, head sumHead) error {
	var b [20]byte
	return t.emit(head.append(appendInt32(b[:0], t.from[i])))
}

func (t *relayedUpload) data(p []byte) error {
	var b [4]byte
	if err := t.emit(appendInt32(b[:0], int32(len(p)))); err != nil {
		return err
	}
	return t.emit(p)
}

func (t *relayedUpload) block(i int32, _ int64) error {
	var b [4]byte
	return t.emit(appendInt32(b[:0], -(i + 1)))
}

func (t *relayedUpload) end(i int32, f File, sum []byte) (whole bool, err error) {
	var b [20]byte
	copy(b[4:], sum)
	if err := t.emit(b[:]); err != nil {
		return false, err
	}
	t.arrived = append(t.arrived, arrival{i, f})
	return false, nil
}

// finish says of each file that was sent whether it is in its place, with nil or why the transfer broke.
func (t *relayedUpload) finish(broke error) {
	last := make(map[int32]int) // a file whose checksum is wrong is sent twice
	for n, a := range t.arrived {
		last[a.i] = n
	}
	for n, a := range t.arrived {
		if last[a.i] == n && (broke == nil || t.inPlace(a.i)) {
			t.done(a.File)
		}
	}
}

// inPlace reports whether a file is there as the client has it.
func (t *relayedUpload) inPlace(i int32) bool {
	info, err := t.root.Lstat(t.name(i))
	return err == nil && info.Mode().IsRegular() && t.list[i].is(info)
}

// ask is the parser of what the program sends, which asks for files.
func (t *relayedUpload) ask(r *reader) error {
	if err := t.greet(r); err != nil {
		return err
	}
	r = demux(r, t.out.message)
	var b [20]byte
	for phase := 0; phase < 3; {
		i, err := r.int32()
		if err != nil {
			return err
		}
		if i == phaseEnd {
			t.allChecked()
			phase++
			if err := t.out.data(appendInt32(nil, phaseEnd)); err != nil {
				return err
			}
			continue
		}
		head, err := r.sumHead()
		if err != nil {
			return err
		}
		if i < 0 || int(i) >= len(t.to) || t.to[i].index == directory {
			return fmt.Errorf("the program asks for file %d of %d", i, len(t.to))
		}
		t.asks(t.to[i].index, head)
		if err := t.out.data(head.append(appendInt32(b[:0], t.to[i].index))); err != nil {
			return err
		}
		if err := r.pass(head.sums(), t.out.data); err != nil {
			return err
		}
	}
	return nil
}

// greet passes on what a server sends first.
func (t *session) greet(r *reader) error {
	if _, err := r.int32(); err != nil {
		return err
	}
	seed, err := r.int32()
	if err != nil {
		return err
	}
	return t.greetClient(seed)
}

type relayedDownload struct {
	*download
	files []int32   // for each file of the program's list, its index in list
	heads []sumHead // with which they were asked for
}

func relayDownload(d *download) *relayedDownload {
	t := &relayedDownload{download: d}
	for i := range d.list {
		if d.list[i].kind == modeRegular {
			t.files = append(t.files, int32(i))
		}
	}
	t.heads = make([]sumHead, len(t.files))
	return t
}

// ask is the parser of what the client sends, which asks for files; emit takes what the program is to read.
func (t *relayedDownload) ask(r *reader, emit func([]byte) error) error {
	if err := r.version(); err != nil {
		return err
	}
	if err := emit(appendInt32(nil, protocolVersion)); err != nil {
		return err
	}
	if err := r.noFilters(); err != nil {
		return err
	}
	if err := emit(appendInt32(nil, 0)); err != nil {
		return err
	}
	var b [20]byte
	for phase := 0; phase < 3; {
		index, head, err := t.nextAsk(r)
		if err != nil {
			return err
		}
		if index == phaseEnd {
			phase++
			if err := emit(appendInt32(b[:0], phaseEnd)); err != nil {
				return err
			}
			continue
		}
		pass := emit
		if head.count > maxSums || t.list[index].size == 0 {
			pass = nil
		}
		sums := head.sums()
		if pass == nil {
			head = sumHead{}
		}
		i, _ := slices.BinarySearch(t.files, index)
		t.mu.Lock()
		t.heads[i] = head
		t.mu.Unlock()
		// The program's list begins with the directory itself.
		if err := emit(head.append(appendInt32(b[:0], int32(i)+1))); err != nil {
			return err
		}
		if err := r.pass(sums, pass); err != nil {
			return err
		}
	}
	return nil
}

// send is the parser of what the program sends.
func (t *relayedDownload) send(r *reader) error {
	if err := t.greet(r); err != nil {
		return err
	}
	if err := t.sendList(); err != nil {
		return err
	}
	r = demux(r, t.out.message)
	list, _, err := new(Command).readList(r, bound{files: len(t.files) + 1})
	if err != nil {
		return err
	}
	if len(list) != len(t.files)+1 {
		return fmt.Errorf("the program has a list of %d files instead of %d", len(list), len(t.files)+1)
	}
	var b [4]byte
	for phase := 0; phase < 2; {
		i, err := r.int32()
		if err != nil {
			return err
		}
		if i == phaseEnd {
			phase++
			if err := t.out.data(appendInt32(b[:0], phaseEnd)); err != nil {
				return err
			}
			continue
		}
		if i--; i < 0 || int(i) >= len(t.files) {
			return fmt.Errorf("the program sends file %d of %d", i, len(t.files))
		}
		if err := t.sendFile(r, i); err != nil {
			return err
		}
	}
	for range 3 { // figures of its own
		if _, err := r.int64(); err != nil {
			return err
		}
	}
	return t.sendStats()
}

func (t *relayedDownload) sendFile(r *reader, i int32) error {
	if _, err := r.sumHead(); err != nil {
		return err
	}
	index := t.files[i]
	t.mu.Lock()
	asked, head := t.asked[index], t.heads[i]
	t.mu.Unlock()
	if !asked {
		return fmt.Errorf("the program sends file %d, which was not asked for", i)
	}
	var b [20]byte
	if err := t.out.data(head.append(appendInt32(b[:0], index))); err != nil {
		return err
	}
	f := File{Name: t.list[index].path}
	for {
		token, err := r.int32()
		if err != nil {
			return err
		}
		if token == 0 {
			break
		}
		if token > 0 {
			if err := t.sendData(r, int(token), &f); err != nil {
				return err
			}
			continue
		}
		n, ok := head.block(-(token + 1))
		if !ok {
			return fmt.Errorf("the program sends block %d of %d", -(token + 1), head.count)
		}
		f.Matched += n
		if err := t.out.data(appendInt32(b[:0], token)); err != nil {
			return err
		}
	}
	if err := r.full(b[4:20]); err != nil {
		return err
	}
	clear(b[:4])
	if err := t.out.data(b[:20]); err != nil {
		return err
	}
	f.Size = f.Literal + f.Matched
	t.done(f)
	return nil
}

// sendData passes a run of data on, in runs that every client takes.
func (t *relayedDownload) sendData(r *reader, n int, f *File) error {
	for n > 0 {
		data, err := r.some(min(n, maxRun))
		if err != nil {
			return err
		}
		pass, cut := t.pass(f.Name, f.Literal+f.Matched, len(data))
		n -= pass
		f.Literal += int64(pass)
		if pass > 0 {
			var b [4]byte
			if err := t.out.data(appendInt32(b[:0], int32(pass))); err != nil {
				return err
			}
			if err := t.out.data(data[:pass]); err != nil {
				return err
			}
		}
		if cut != nil {
			return cut
		}
	}
	return nil
}
