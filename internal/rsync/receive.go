package rsync

import (
	"fmt"
)

func (u *upload) receiveFile(r *reader, index int32, emit func([]byte) error) error {
	if index < 0 || int(index) >= len(u.from) || u.from[index] == directory {
		return protocol("file %d comes as it was not asked for", index)
	}
	i := u.from[index]
	head, err := r.sumHead()
	if err != nil {
		return err
	}
	u.mu.Lock()
	want, ok := u.asks[i]
	delete(u.asks, i)
	u.mu.Unlock()
	if !ok || head.count > 0 && head != want {
		return protocol("file %d comes as it was not asked for", index)
	}
	var b [20]byte
	if err := emit(head.append(appendInt32(b[:0], i))); err != nil {
		return err
	}
	f := File{Name: u.to[i].name}
	for {
		token, err := r.int32()
		if err != nil {
			return err
		}
		switch {
		case token > maxClient:
			return protocol("a run of %d bytes", token)
		case token > 0:
			if err := u.receiveData(r, int(token), &f, emit); err != nil {
				return err
			}
			continue
		case token < 0:
			n, ok := head.block(-(token + 1))
			if !ok {
				return protocol("block %d of %d", -(token + 1), head.count)
			}
			if err := u.take(n); err != nil {
				return err
			}
			f.Matched += n
			if err := emit(appendInt32(b[:0], token)); err != nil {
				return err
			}
			continue
		}
		break
	}
	if err := r.full(b[4:20]); err != nil {
		return err
	}
	f.Size = f.Literal + f.Matched
	clear(b[:4])
	if err := emit(b[:20]); err != nil {
		return err
	}
	u.arrive(i, f)
	return nil
}

// receiveData passes a run of data on, in pieces as they come.
func (u *upload) receiveData(r *reader, n int, f *File, emit func([]byte) error) error {
	var b [4]byte
	for n > 0 {
		data, err := r.some(min(n, maxRun))
		if err != nil {
			return err
		}
		if err := u.take(int64(len(data))); err != nil {
			return err
		}
		pass, cut := u.pass(f.Name, f.Literal+f.Matched, len(data))
		n -= pass
		f.Literal += int64(pass)
		if pass > 0 {
			if err := emit(appendInt32(b[:0], int32(pass))); err != nil {
				return err
			}
			if err := emit(data[:pass]); err != nil {
				return err
			}
		}
		if cut != nil {
			return cut
		}
	}
	return nil
}

// take counts bytes of files, and refuses those that are more than was said.
func (u *upload) take(n int64) error {
	u.taken += n
	if u.job.MaxBytes > 0 && u.taken > u.job.MaxBytes {
		return refuse("files of more than %d bytes together, which is all that there is room for", u.job.MaxBytes)
	}
	return nil
}

// arrive notes that the receiver has read all of a file, and reads on.
func (u *upload) arrive(i int32, f File) {
	if u.inOrder {
		u.done(f)
		return
	}
	u.arrived = append(u.arrived, arrival{i, f})
}

// ask is the parser of what the receiver sends, which asks for files.
func (u *upload) ask(r *reader) error {
	if err := u.greet(r); err != nil {
		return err
	}
	r = demux(r, u.message)
	var b [20]byte
	for phase := 0; phase < 3; {
		i, err := r.int32()
		if err != nil {
			return err
		}
		if i == phaseEnd {
			u.mu.Lock()
			u.checked = true
			u.mu.Unlock()
			phase++
			if err := u.out.data(appendInt32(nil, phaseEnd)); err != nil {
				return err
			}
			continue
		}
		head, err := r.sumHead()
		if err != nil {
			return err
		}
		index, err := u.asked(i, head)
		if err != nil {
			return err
		}
		if err := u.out.data(head.append(appendInt32(b[:0], index))); err != nil {
			return err
		}
		if err := r.pass(head.sums(), u.out.data); err != nil {
			return err
		}
	}
	return nil
}

// asked notes that the receiver asks for a file, and returns the client's index of it.
func (u *upload) asked(i int32, head sumHead) (int32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i < 0 || int(i) >= len(u.to) || u.to[i].index == directory {
		return 0, fmt.Errorf("the receiver asks for file %d of %d", i, len(u.to))
	}
	u.asks[i] = head
	u.to[i].asked = true
	u.highest = max(u.highest, int(i))
	return u.to[i].index, nil
}
