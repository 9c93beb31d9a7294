package platform

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

var (
	requestsBucket = []byte("requests") // id → record, JSON
	scriptBucket   = []byte("script")   // the same of the script API; earlier versions leave it alone
	progressBucket = []byte("progress") // id → progress, JSON: an SFTP transfer that is not complete
	stateBucket    = []byte("state")    // totalsKey → totals, JSON
	keptBucket     = []byte("kept")     // name → what others keep beside the requests

	totalsKey = []byte("totals")
)

// progress is how far an SFTP transfer has come that is not complete.
type progress struct {
	Seq   int64 `json:"seq"`
	Whole int64 `json:"whole"` // so many bytes are there without a hole
}

// totals is what goes on ascending, whatever is forgotten.
type totals struct {
	LastID int64     `json:"last_id"` // the latest request's
	Seq    int64     `json:"seq"`     // the latest file's
	Clock  time.Time `json:"clock"`   // what a clock said that does not run by itself; zero: it runs
}

var (
	// ErrDatabase is returned for a database that cannot be used as it is.
	ErrDatabase = errors.New("platform: the database cannot be used")
	// ErrNotOnDisk is returned for a change that would be lost, since the files that are written are not those
	// that a next process finds.
	ErrNotOnDisk = errors.New("platform: the data directory is not what it was")
)

// unusable is an ErrDatabase that says what is wrong and what to do.
type unusable string

func (u unusable) Error() string        { return string(u) }
func (u unusable) Is(target error) bool { return target == ErrDatabase }

// store keeps records across processes. A nil *store keeps nothing.
//
// It is safe against a kill of the process at any instant, not against the loss of power: that would cost a disk
// flush for every status poll. Every change is refused once the files in use are not those under their names any more.
type store struct {
	db     *bolt.DB
	places []place

	mu   sync.Mutex
	kept totals // as written last
	size int64  // bytes of the database that are in use
}

// place is a file or directory in use, and the name under which the next process looks for it.
type place struct {
	name string
	info fs.FileInfo
}

func (s *store) close() error {
	if s == nil {
		return nil
	}
	return s.db.Close()
}

// check reports whether what is written will be found by the next process.
func (s *store) check() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checkLocked()
}

func (s *store) checkLocked() error {
	for _, p := range s.places {
		info, err := os.Lstat(p.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: %s was removed while the emulator runs; put it back, or start again", ErrNotOnDisk, p.name)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrNotOnDisk, err)
		case !os.SameFile(info, p.info):
			return fmt.Errorf("%w: %s was replaced while the emulator runs; put it back, or start again", ErrNotOnDisk, p.name)
		case !p.info.IsDir() && info.Size() < s.size:
			return fmt.Errorf("%w: %s was cut to %d bytes while the emulator runs; put back a whole one, and "+
				"start again", ErrNotOnDisk, p.name, info.Size())
		}
	}
	return nil
}

// change commits what f does.
func (s *store) change(f func(*bolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changeLocked(f)
}

func (s *store) changeLocked(f func(*bolt.Tx) error) error {
	if err := s.checkLocked(); err != nil {
		return err
	}
	return guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			if err := f(tx); err != nil {
				return err
			}
			s.size = max(s.size, tx.Size())
			return nil
		})
	})
}

func idKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// put keeps a record, and the totals with it.
func (s *store) put(rec *record, t totals) error {
	return s.keep(rec, t, func(*bolt.Tx) error { return nil })
}

// complete keeps a record whose dump has become complete: the transfer is over, in the same instant.
func (s *store) complete(rec *record, t totals) error {
	return s.keep(rec, t, func(tx *bolt.Tx) error { return tx.Bucket(progressBucket).Delete(idKey(rec.ID)) })
}

func (s *store) keep(rec *record, t totals, more func(*bolt.Tx) error) error {
	if s == nil {
		return nil
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return s.withTotals(t, func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(rec.bucket())
		if err != nil {
			return err
		}
		return errors.Join(bucket.Put(idKey(rec.ID), data), more(tx))
	})
}

// bucket is where the record is kept.
func (rec *record) bucket() []byte {
	if rec.ScriptAPI != nil {
		return scriptBucket
	}
	return requestsBucket
}

// putProgress keeps how far a transfer has come.
func (s *store) putProgress(id int64, part progress) error {
	if s == nil {
		return nil
	}
	data, err := json.Marshal(part)
	if err != nil {
		return err
	}
	return s.change(func(tx *bolt.Tx) error { return tx.Bucket(progressBucket).Put(idKey(id), data) })
}

// putTotals keeps the totals alone.
func (s *store) putTotals(t totals) error {
	if s == nil {
		return nil
	}
	return s.withTotals(t, func(*bolt.Tx) error { return nil })
}

// withTotals commits what f does, and the totals where they have changed.
func (s *store) withTotals(t totals, f func(*bolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.LastID == s.kept.LastID && t.Seq == s.kept.Seq && t.Clock.Equal(s.kept.Clock) {
		return s.changeLocked(f)
	}
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	err = s.changeLocked(func(tx *bolt.Tx) error {
		return errors.Join(f(tx), tx.Bucket(stateBucket).Put(totalsKey, data))
	})
	if err == nil {
		s.kept = t
	}
	return err
}

// putNamed keeps a value beside the requests, under a name of the caller's; nil removes it.
func (s *store) putNamed(name string, value []byte) error {
	if s == nil {
		return nil
	}
	return s.change(func(tx *bolt.Tx) error {
		if value == nil {
			return tx.Bucket(keptBucket).Delete([]byte(name))
		}
		return tx.Bucket(keptBucket).Put([]byte(name), value)
	})
}

// eachNamed calls each with what putNamed kept.
func (s *store) eachNamed(each func(name string, value []byte) error) error {
	if s == nil {
		return nil
	}
	return guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			return tx.Bucket(keptBucket).ForEach(func(k, v []byte) error { return each(string(k), v) })
		})
	})
}

// load reads the totals, and calls each with every record.
func (s *store) load(each func(record, progress) error) error {
	path := s.db.Path()
	bad := func(what string, err error) error {
		return unusable(fmt.Sprintf("platform: %s: %s cannot be read (%v); put back a whole one, or move the directory "+
			"away and begin with a new one", path, what, err))
	}
	scripts := make(scriptCache)
	return guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			if b := tx.Bucket(stateBucket); b != nil {
				if v := b.Get(totalsKey); v != nil {
					if err := json.Unmarshal(v, &s.kept); err != nil {
						return bad("what is kept beside the requests", err)
					}
				}
			}
			read := func(k, v []byte) error {
				rec, err := scripts.decode(v)
				if err == nil && string(k) != string(idKey(rec.ID)) {
					err = errors.New("it is no record")
				}
				if err != nil {
					return bad(fmt.Sprintf("request %x", k), err)
				}
				var part progress
				if v := tx.Bucket(progressBucket).Get(k); v != nil {
					if err := json.Unmarshal(v, &part); err != nil {
						return bad(fmt.Sprintf("the transfer of request %d", rec.ID), err)
					}
				}
				return each(rec, part)
			}
			err := tx.Bucket(requestsBucket).ForEach(read)
			if b := tx.Bucket(scriptBucket); b != nil && err == nil {
				err = b.ForEach(read)
			}
			return err
		})
	})
}

// remove forgets requests, and keeps the totals.
func (s *store) remove(ids []int64, t totals) error {
	if s == nil {
		return nil
	}
	return s.withTotals(t, func(tx *bolt.Tx) error {
		var errs []error
		for _, id := range ids {
			for _, name := range [][]byte{requestsBucket, scriptBucket, progressBucket} {
				if bucket := tx.Bucket(name); bucket != nil {
					errs = append(errs, bucket.Delete(idKey(id)))
				}
			}
		}
		return errors.Join(errs...)
	})
}
