package eventlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var moment = time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)

func seqs(events []journal.Event) []uint64 {
	list := []uint64{}
	for _, e := range events {
		list = append(list, e.Seq)
	}
	return list
}

// fill adds n events: On is status or sftp.open in turn, the request 1, 2 or 3, a second apart.
func fill(j *eventlog.Log, n int) {
	for i := range n {
		j.Add(&journal.Event{
			On: []string{"status", "sftp.open"}[i%2], Request: int64(i%3 + 1), Contract: fmt.Sprintf("M%d", i%3+1),
			At: moment.Add(time.Duration(i) * time.Second),
		})
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	j := eventlog.New(0, nil, nil)
	fill(j, 12)
	for name, tc := range map[string]struct {
		filter journal.Filter
		want   []uint64
	}{
		"everything":     {journal.Filter{}, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		"a request":      {journal.Filter{Request: 2}, []uint64{2, 5, 8, 11}},
		"a contract":     {journal.Filter{Contract: "M3"}, []uint64{3, 6, 9, 12}},
		"a kind":         {journal.Filter{On: "sftp.open"}, []uint64{2, 4, 6, 8, 10, 12}},
		"a family":       {journal.Filter{On: "sftp"}, []uint64{2, 4, 6, 8, 10, 12}},
		"half a name":    {journal.Filter{On: "sf"}, []uint64{}},
		"since":          {journal.Filter{Since: moment.Add(9 * time.Second)}, []uint64{10, 11, 12}},
		"after":          {journal.Filter{After: 10}, []uint64{11, 12}},
		"all at once":    {journal.Filter{Request: 2, On: "sftp", Since: moment.Add(3 * time.Second), After: 2}, []uint64{8}},
		"of no request":  {journal.Filter{Request: 9}, []uint64{}},
		"another's name": {journal.Filter{Contract: "M"}, []uint64{}},
	} {
		if d := cmp.Diff(tc.want, seqs(j.Events(tc.filter))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// What comes out is what came in, whichever field it is in, and whatever was in that place before.
func TestJournal_everyField(t *testing.T) {
	t.Parallel()
	j := eventlog.New(1, nil, nil)
	for _, n := range []int{1, 300, 2} { // the second is larger than is usual
		var e journal.Event
		fields := reflect.ValueOf(&e).Elem()
		for i := range fields.NumField() {
			field, what := fields.Field(i), fields.Type().Field(i).Name
			switch value := field.Addr().Interface().(type) {
			case *string:
				*value = what
			case *int:
				*value = -n
			case *int64:
				*value = -int64(n) << 40
			case *uint64:
				*value = math.MaxUint64
			case *time.Duration:
				*value = time.Duration(n)
			case *time.Time:
				*value = moment.Add(time.Duration(n))
			case *[]string:
				*value = slices.Repeat([]string{what, ""}, n)
			case *[]journal.Range:
				*value = slices.Repeat([]journal.Range{{From: 1, To: int64(i)}}, n)
			case **journal.Fired:
				*value = &journal.Fired{At: int64(n), Received: -int64(n), Sent: int64(n) << 40}
			case **journal.Rsync:
				file := journal.File{Name: what, Size: int64(n), Sent: -int64(n), Skipped: n == 1, Checksum: "c"}
				*value = &journal.Rsync{
					Command: what, Exit: -n, Count: n, Skipped: 2 * n, Saved: int64(n) << 40,
					Files: slices.Repeat([]journal.File{file}, n),
				}
			case *map[string]string: // comes beside the event
			default:
				t.Fatalf("what is a %T?", value)
			}
		}
		j.Add(&e, eventlog.Param{Name: "key", Value: "aaaa…"}, eventlog.Param{Name: "", Value: strings.Repeat("x", 50*n)})
		e.Seq = j.Last()
		e.Params = map[string]string{"key": "aaaa…", "": strings.Repeat("x", 50*n)}
		if d := cmp.Diff([]journal.Event{e}, j.Events(journal.Filter{})); d != "" {
			t.Errorf("%d: remembered otherwise (-in +out):\n%s", n, d)
		}
	}
	j.Add(&journal.Event{})
	if d := cmp.Diff([]journal.Event{{Seq: 4, At: time.Time{}}}, j.Events(journal.Filter{})); d != "" {
		t.Errorf("an empty event is remembered otherwise (-in +out):\n%s", d)
	}
}

// The journal remembers the latest events, and counts those that fell out.
func TestJournal_bounded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		added   int
		want    []uint64
		dropped uint64
	}{
		{0, []uint64{}, 0}, {3, []uint64{1, 2, 3}, 0}, {4, []uint64{1, 2, 3, 4}, 0}, {5, []uint64{2, 3, 4, 5}, 1},
		{11, []uint64{8, 9, 10, 11}, 7},
	} {
		j := eventlog.New(4, nil, nil)
		fill(j, tc.added)
		if d := cmp.Diff(tc.want, seqs(j.Events(journal.Filter{}))); d != "" || j.Dropped() != tc.dropped ||
			j.Last() != uint64(tc.added) {
			t.Errorf("after %d events: dropped %d, last %d, and (-want +got):\n%s", tc.added, j.Dropped(), j.Last(), d)
		}
	}
	j := eventlog.New(0, nil, nil)
	fill(j, eventlog.DefaultCapacity+5)
	if n := len(j.Events(journal.Filter{})); n != eventlog.DefaultCapacity || j.Dropped() != 5 {
		t.Errorf("by default %d events, %d dropped", n, j.Dropped())
	}
}

// Whoever has seen some events finds exactly the later ones, wherever they are kept: behind thousands of
// others, large ones, dropped ones, and gaps.
func TestJournal_later(t *testing.T) {
	t.Parallel()
	const added, room = 1500, 500
	j := eventlog.New(room, nil, nil)
	for i := range added {
		e := &journal.Event{On: "status", Request: int64(i % 2), Why: strings.Repeat("x", 100)}
		if i%300 == 0 {
			e.Why = strings.Repeat("x", 50<<10)
		}
		j.Add(e)
	}
	held := []uint64{}
	for seq := uint64(added - room + 1); seq <= added; seq++ {
		held = append(held, seq)
	}
	check := func() {
		t.Helper()
		for after := uint64(0); after < added+10; after += 7 {
			want := slices.DeleteFunc(slices.Clone(held), func(seq uint64) bool { return seq <= after })
			if got := seqs(j.Events(journal.Filter{After: after})); !slices.Equal(want, got) {
				t.Fatalf("after %d (-want +got):\n%s", after, cmp.Diff(want, got))
			}
		}
	}
	check()
	j.Clear(journal.Filter{Request: 1})
	held = slices.DeleteFunc(held, func(seq uint64) bool { return seq%2 == 0 })
	check()
}

// Clearing takes out what passes the filter, also when events were dropped; numbers go on, and so does the dropping.
func TestJournal_clear(t *testing.T) {
	t.Parallel()
	j := eventlog.New(6, nil, nil)
	fill(j, 10) // 5 to 10 are there
	j.Clear(journal.Filter{Request: 1})
	if d := cmp.Diff([]uint64{5, 6, 8, 9}, seqs(j.Events(journal.Filter{}))); d != "" || j.Dropped() != 4 {
		t.Errorf("dropped %d; (-want +got):\n%s", j.Dropped(), d)
	}
	fill(j, 4)
	if d := cmp.Diff([]uint64{8, 9, 11, 12, 13, 14}, seqs(j.Events(journal.Filter{}))); d != "" {
		t.Errorf("after more (-want +got):\n%s", d)
	}
	j.Clear(journal.Filter{})
	if events := j.Events(journal.Filter{}); len(events) > 0 || j.Dropped() != 0 || j.Last() != 14 {
		t.Errorf("%v, dropped %d, last %d", events, j.Dropped(), j.Last())
	}
}

// Next returns what is there, or waits for it, until the context ends or the journal is closed.
func TestJournal_next(t *testing.T) {
	t.Parallel()
	j := eventlog.New(0, nil, nil)
	fill(j, 3)
	if events, err := j.Next(t.Context(), journal.Filter{After: 1}); err != nil || len(events) != 2 {
		t.Errorf("what is there: %v, %v", events, err)
	}
	const readers = 5
	got := make(chan []uint64, readers)
	for range readers {
		go func() {
			var seen []uint64
			for len(seen) < 20 {
				f := journal.Filter{After: 3, On: "status"}
				if len(seen) > 0 {
					f.After = seen[len(seen)-1]
				}
				events, err := j.Next(t.Context(), f)
				if err != nil {
					t.Error(err)
					break
				}
				seen = append(seen, seqs(events)...)
			}
			got <- seen
		}()
	}
	fill(j, 40)
	want := []uint64{}
	for seq := uint64(4); seq <= 43; seq += 2 {
		want = append(want, seq)
	}
	for range readers {
		if d := cmp.Diff(want, <-got); d != "" {
			t.Errorf("a reader's events (-want +got):\n%s", d)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { _, err := j.Next(ctx, journal.Filter{Request: 99}); ended <- err }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait: %v", err)
	}
	go func() { _, err := j.Next(t.Context(), journal.Filter{Request: 99}); ended <- err }()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("a wait at a closed journal: %v", err)
	}
	if events, err := j.Next(t.Context(), journal.Filter{After: 42}); err != nil || len(events) != 1 {
		t.Errorf("what is there in a closed journal: %v, %v", events, err)
	}
}

// The writer gets each event as one line of JSON, which says nothing of what means nothing.
func TestJournal_writes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j := eventlog.New(1, &out, nil)
	j.Add(&journal.Event{On: "status", At: moment.In(time.FixedZone("", 3600))}, eventlog.Param{Name: "a", Value: "<&>"})
	j.Add(&journal.Event{On: "sftp.close", At: moment, Written: []journal.Range{{From: 0, To: 5}}})
	want := `{"seq":1,"at":"2015-09-09T07:13:49Z","on":"status","params":{"a":"<&>"}}
{"seq":2,"at":"2015-09-09T07:13:49Z","on":"sftp.close","written":[{"from":0,"to":5}]}
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	var e journal.Event
	if err := json.Unmarshal([]byte(strings.SplitAfter(out.String(), "\n")[1]), &e); err != nil {
		t.Error(err)
	} else if d := cmp.Diff(j.Events(journal.Filter{}), []journal.Event{e}); d != "" {
		t.Errorf("read back (-there +read):\n%s", d)
	}
}

type fullDisk struct{ lines int }

var errFull = errors.New("no space left")

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.lines == 0 {
		return 0, errFull
	}
	d.lines--
	return len(p), nil
}

// Close returns the error of a writer; events are kept in spite of it.
func TestJournal_writerFails(t *testing.T) {
	t.Parallel()
	j := eventlog.New(0, &fullDisk{lines: 2}, nil)
	fill(j, 5)
	if n := len(j.Events(journal.Filter{})); n != 5 {
		t.Errorf("%d events", n)
	}
	if err := j.Close(); !errors.Is(err, errFull) {
		t.Errorf("Close: %v", err)
	}
}

func TestJournal_concurrently(t *testing.T) {
	t.Parallel()
	j := eventlog.New(50, nil, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { fill(j, 200) })
		wg.Go(func() {
			for range 100 {
				events := j.Events(journal.Filter{})
				for i := 1; i < len(events); i++ {
					if events[i].Seq <= events[i-1].Seq {
						t.Errorf("event %d after %d", events[i].Seq, events[i-1].Seq)
					}
				}
				j.Clear(journal.Filter{Request: 2})
			}
		})
	}
	wg.Wait()
	if j.Last() != 800 {
		t.Errorf("last %d", j.Last())
	}
}

// What came from a client is hidden in a session of rsync, too, and what the caller holds stays as it is.
func TestJournal_hidesInRsync(t *testing.T) {
	t.Parallel()
	j := eventlog.New(1, nil, func(text string) string { return strings.ReplaceAll(text, "secret", "…") })
	files := []journal.File{{Name: "a-secret.dat", Size: 3}}
	given := &journal.Rsync{Command: "rsync --server secret", Count: 1, Files: files}
	j.Add(&journal.Event{On: "rsync.upload", Rsync: given})
	want := &journal.Rsync{
		Command: "rsync --server …", Count: 1, Files: []journal.File{{Name: "a-….dat", Size: 3}},
	}
	if d := cmp.Diff(want, j.Events(journal.Filter{})[0].Rsync); d != "" {
		t.Errorf("the event (-want +got):\n%s", d)
	}
	if given.Command != "rsync --server secret" || files[0].Name != "a-secret.dat" {
		t.Errorf("the caller's own was changed: %+v, %+v", given, files)
	}
}

// A part is the oldest or the latest of what passes, with how many are left out before it, the dropped ones among them.
func TestPart(t *testing.T) {
	t.Parallel()
	j := eventlog.New(12, nil, nil)
	fill(j, 20) // of which 9 to 20 are there
	for name, tc := range map[string]struct {
		filter journal.Filter
		latest bool
		want   []uint64
		out    uint64
	}{
		"the oldest":              {journal.Filter{After: 10, Limit: 3}, false, []uint64{11, 12, 13}, 0},
		"the latest":              {journal.Filter{After: 10, Limit: 3}, true, []uint64{18, 19, 20}, 7},
		"all":                     {journal.Filter{After: 18, Limit: 3}, true, []uint64{19, 20}, 0},
		"without a limit":         {journal.Filter{After: 18}, true, []uint64{19, 20}, 0},
		"behind what was dropped": {journal.Filter{After: 5, Limit: 2}, false, []uint64{9, 10}, 3},
		"dropped and left out":    {journal.Filter{After: 5, Limit: 2}, true, []uint64{19, 20}, 13},
		"of a request":            {journal.Filter{After: 8, Limit: 2, Request: 1}, true, []uint64{16, 19}, 2},
	} {
		events, out := j.Part(tc.filter, tc.latest)
		if d := cmp.Diff(tc.want, seqs(events)); d != "" || out != tc.out {
			t.Errorf("%s: %d left out, want %d (-want +got):\n%s", name, out, tc.out, d)
		}
	}
}

// What is around a request is of it, or of none.
func TestAround(t *testing.T) {
	t.Parallel()
	j := eventlog.New(0, nil, nil)
	fill(j, 6)
	j.Add(&journal.Event{On: "create"})
	if d := cmp.Diff([]uint64{2, 5, 7}, seqs(j.Around(2, journal.Filter{}))); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]uint64{5}, seqs(j.Around(2, journal.Filter{After: 2, On: "status"}))); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
