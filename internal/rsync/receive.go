package rsync

// A receiver gets a file that comes, in pieces.
type receiver interface {
	// begin begins a file of the list, for which blocks of its other version may come, as it was asked for.
	begin(i int32, head sumHead) error

	data(p []byte) error
	block(i int32, n int64) error // of n bytes

	// end ends the file, whose checksum is sum, and reports whether f is whole and in its place now.
	end(i int32, f File, sum []byte) (whole bool, err error)
}

// receiveFile reads a file.
func (u *upload) receiveFile(r *reader, i int32, to receiver) error {
	want, ok := u.comes(i)
	if !ok {
		return protocol("file %d comes, and was not asked for", i)
	}
	head, err := r.sumHead()
	if err != nil {
		return err
	}
	if head.count > 0 && head != want {
		return protocol("file %d comes with other blocks than it was asked for", i)
	}
	if err := to.begin(i, head); err != nil {
		return err
	}
	f := File{Name: u.name(i)}
	for {
		token, err := r.int32()
		if err != nil {
			return err
		}
		switch {
		case token > maxClient:
			return protocol("a run of %d bytes", token)
		case token > 0:
			if err := u.receiveData(r, int(token), &f, to); err != nil {
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
			if err := to.block(-(token + 1), n); err != nil {
				return err
			}
			continue
		}
		break
	}
	var sum [sumLength]byte
	if err := r.full(sum[:]); err != nil {
		return err
	}
	f.Size = f.Literal + f.Matched
	whole, err := to.end(i, f, sum[:])
	if whole {
		u.done(f)
	}
	return err
}

// receiveData passes a run of data on, in pieces as they come.
func (u *upload) receiveData(r *reader, n int, f *File, to receiver) error {
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
			if err := to.data(data[:pass]); err != nil {
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

// asks notes that a file is asked for.
func (u *upload) asks(i int32, head sumHead) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state[i] = asked
	if head.count > 0 {
		u.heads[i] = head
	} else {
		delete(u.heads, i)
	}
	u.highest = max(u.highest, int(i))
}

// allChecked notes that what was not asked for is there.
func (u *upload) allChecked() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.checked = true
}

// comes notes that a file comes, and returns the blocks with which it was asked for. It is not ok if it was not.
func (u *upload) comes(i int32) (head sumHead, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i < 0 || int(i) >= len(u.state) || u.state[i] != asked {
		return sumHead{}, false
	}
	head = u.heads[i]
	u.state[i] = came
	delete(u.heads, i)
	return head, true
}
