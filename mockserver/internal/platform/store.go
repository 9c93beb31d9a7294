package platform

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var (
	requestsBucket = []byte("requests") // id → record, JSON
	progressBucket = []byte("progress") // id → progress, JSON: an SFTP transfer that is not complete
)

// progress is how far an SFTP transfer has come that is not complete.
type progress struct {
	Seq   int64 `json:"seq"`
	Whole int64 `json:"whole"` // so many bytes are there without a hole
}

// store keeps records across processes. A nil *store keeps nothing.
//
// It is safe against a kill of the process at any instant, not against the loss of power: that would cost a disk
// flush for every status poll, which nobody asks of an emulator.
type store struct{ db *bolt.DB }

func openStore(path string) (*store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoSync: true, NoGrowSync: true, NoFreelistSync: true})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("platform: %s is in use by another process; stop that one, or take another data directory: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("platform: open %s: %w", path, err)
	}
	s := &store{db: db}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(requestsBucket)
		_, err2 := tx.CreateBucketIfNotExists(progressBucket)
		return errors.Join(err, err2)
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("platform: %s: %w", path, err)
	}
	return s, nil
}

func (s *store) close() error {
	if s == nil {
		return nil
	}
	return s.db.Close()
}

func idKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// put keeps a record.
func (s *store) put(rec *record) error {
	if s == nil {
		return nil
	}
	return s.update(requestsBucket, rec.ID, rec)
}

// putProgress keeps how far a transfer has come.
func (s *store) putProgress(id int64, part progress) error {
	if s == nil {
		return nil
	}
	return s.update(progressBucket, id, part)
}

func (s *store) update(bucket []byte, id int64, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put(idKey(id), data) })
}

// complete keeps a record whose dump has become complete: the transfer is over, in the same instant.
func (s *store) complete(rec *record) error {
	if s == nil {
		return nil
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		return errors.Join(tx.Bucket(requestsBucket).Put(idKey(rec.ID), data), tx.Bucket(progressBucket).Delete(idKey(rec.ID)))
	})
}

// load calls each with every record, in the order of their ids.
func (s *store) load(each func(record, progress) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(requestsBucket).ForEach(func(k, v []byte) error {
			rec := record{work: new(work)}
			if err := json.Unmarshal(v, &rec); err != nil {
				return fmt.Errorf("platform: %s: request %d: %w", s.db.Path(), binary.BigEndian.Uint64(k), err)
			}
			var part progress
			if v := tx.Bucket(progressBucket).Get(k); v != nil {
				if err := json.Unmarshal(v, &part); err != nil {
					return fmt.Errorf("platform: %s: transfer of request %d: %w", s.db.Path(), rec.ID, err)
				}
			}
			return each(rec, part)
		})
	})
}

// remove forgets a request.
func (s *store) remove(id int64) error {
	if s == nil {
		return nil
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		return errors.Join(tx.Bucket(requestsBucket).Delete(idKey(id)), tx.Bucket(progressBucket).Delete(idKey(id)))
	})
}
