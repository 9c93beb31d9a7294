package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/internal/boltfile"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
)

// boltOptions are those of every opening; openFile is how the file is opened.
func boltOptions(openFile func(string, int, os.FileMode) (*os.File, error)) *bolt.Options {
	return &bolt.Options{Timeout: time.Second, NoSync: true, NoGrowSync: true, NoFreelistSync: true, OpenFile: openFile}
}

// openStore opens the database of a data directory, and makes it in a new one.
func openStore(dir *datadir.Dir) (*store, error) {
	path := dir.File(datadir.Database)
	info, err := dir.Root().Lstat(datadir.Database)
	if errors.Is(err, fs.ErrNotExist) && dir.New() {
		if err := makeDatabase(dir); err != nil {
			return nil, fmt.Errorf("platform: make %s: %w", path, err)
		}
		info, err = dir.Root().Lstat(datadir.Database)
	}
	const advice = "put back the file that belongs there, or move the directory away and begin with a new one; " +
		"nothing was changed"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, unusable(fmt.Sprintf("platform: %s is missing: %s", path, advice))
	case err != nil:
		return nil, fmt.Errorf("platform: %w", err)
	case !info.Mode().IsRegular():
		return nil, unusable(fmt.Sprintf("platform: %s is %s, not a database: %s", path, safefile.Kind(info.Mode()), advice))
	case info.Size() == 0:
		return nil, unusable(fmt.Sprintf("platform: %s is empty: %s", path, advice))
	}
	s := new(store)
	err = guard(func() error { return s.open(dir, path) })
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("platform: %s is in use by another process; stop that one, or take another data "+
			"directory: %w", path, err)
	case err != nil && !errors.Is(err, boltfile.ErrDamaged) && !errors.Is(err, ErrDatabase):
		return nil, fmt.Errorf("platform: open %s: %w", path, err)
	case err != nil:
		return nil, unusable(fmt.Sprintf("platform: %s is damaged, or no database of upgrademock's "+
			"(%v): %s", path, err, advice))
	}
	for _, name := range []string{datadir.Database, datadir.Dumps, datadir.Trees} {
		err := s.watch(dir, name)
		if name == datadir.Trees && errors.Is(err, fs.ErrNotExist) { // it is made when it is needed
			continue
		}
		if err != nil {
			s.db.Close()
			return nil, fmt.Errorf("platform: %w", err)
		}
	}
	return s, nil
}

// watch makes every change depend on the file or directory with that name still being there.
func (s *store) watch(dir *datadir.Dir, name string) error {
	if s == nil {
		return nil
	}
	info, err := dir.Root().Lstat(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places = append(s.places, place{dir.File(name), info})
	return nil
}

// makeDatabase makes an empty database, which appears whole.
func makeDatabase(dir *datadir.Dir) error {
	temp := safefile.TempName()
	defer dir.Root().Remove(temp)
	db, err := bolt.Open(temp, 0o600, boltOptions(func(string, int, os.FileMode) (*os.File, error) {
		return dir.Root().OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	}))
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(makeBuckets), db.Close()); err != nil {
		return err
	}
	err = safefile.Appear(dir.Root(), temp, datadir.Database)
	if _, there := dir.Root().Lstat(datadir.Database); there == nil { // if not ours, another process was first
		return nil
	}
	return err
}

func makeBuckets(tx *bolt.Tx) error {
	var errs []error
	for _, name := range [][]byte{requestsBucket, progressBucket, stateBucket, keptBucket} {
		_, err := tx.CreateBucketIfNotExists(name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// open opens the database once it is known to be whole; if it is not, the error is boltfile.ErrDamaged. The check
// needs the lock on the file that bbolt takes, and must come before bbolt reads more than the first pages: so it
// is opened for reading first, which reads no more.
func (s *store) open(dir *datadir.Dir, path string) error {
	how := boltOptions(func(_ string, flag int, _ os.FileMode) (*os.File, error) {
		return safefile.OpenIn(dir.Root(), datadir.Database, flag)
	})
	reading := *how
	reading.ReadOnly = true
	db, err := bolt.Open(path, 0o600, &reading)
	if err != nil { // which closes the file
		if damage := checkDatabase(dir); errors.Is(damage, boltfile.ErrDamaged) {
			return damage
		}
		return err
	}
	if err := errors.Join(checkDatabase(dir), db.Close()); err != nil {
		return err
	}
	s.db, err = bolt.Open(path, 0o600, how)
	return err
}

// checkDatabase checks that the database is whole, and ours.
func checkDatabase(dir *datadir.Dir) error {
	file, err := safefile.OpenIn(dir.Root(), datadir.Database, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	buckets, err := boltfile.Check(file, info.Size())
	if err != nil {
		return err
	}
	for _, name := range [][]byte{requestsBucket, progressBucket} { // the others came later
		if !slices.Contains(buckets, string(name)) {
			return fmt.Errorf("%w: it is another program's", boltfile.ErrDamaged)
		}
	}
	return nil
}

// guard runs f, and turns a panic and a fault of memory into an error: bbolt trusts the file that it has mapped.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDatabase, r)
		}
	}()
	return f()
}
