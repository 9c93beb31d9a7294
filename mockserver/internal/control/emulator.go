package control

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/upgrademock/upgrademock/internal/clientenv"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Config is what the API looks into and steers. All fields but Called and Heartbeat are required.
type Config struct {
	Requests    Requests
	Journal     Journal
	Scenarios   Scenarios
	Emulator    Emulator
	Environment Environment

	Metrics http.Handler
	Kinds   []string        // of events, as an event's On has them
	Hosts   func() []string // names of the emulator's own, with or without port, beside addresses and local names
	Status  func(error) int // the HTTP status that an error of the emulator answers; 0: it depends on the call
	Done    <-chan struct{} // closed when the emulator is about to stop
	// Called, if not nil, is told of each call that changes something, or was to.
	Called func(Call)
	// Heartbeat is how often events sends a comment while nothing happens; 0 is DefaultHeartbeat.
	Heartbeat time.Duration
	// OptionName is what texts call the option of the emulator with that field name.
	OptionName func(field string) string
}

// Requests are the emulator's requests.
type Requests interface {
	// List returns the selected requests, and how many there are on all pages.
	List(Selection) (page []Request, total int)
	Request(id int64, view View) (Request, error)
	Timeline(id int64) (Timeline, error)
	// Retrace returns a scenario, as YAML, by which what happened to the request happens again.
	Retrace(id int64) ([]byte, error)
	// FaultOf returns a fault of the request's scenario.
	FaultOf(id int64, index int) (*scenario.Fault, error)
	// Inject has a fault trigger once.
	Inject(id int64, fault *scenario.Fault) error
	// EndAccess ends the SFTP access, and a transfer of the script API.
	EndAccess(id int64) error
	Files(id int64) ([]File, error)
	OpenFile(ctx context.Context, id int64, path string) (io.ReadCloser, error)
	SetState(id int64, state string, set map[string]any) (Request, error)
	Release(id int64) (Request, error)
}

// Journal is the emulator's journal.
type Journal interface {
	Events(journal.Filter) []journal.Event
	// Evaluate has changes of state journalled that have come with time: for all methods but Part it is done already.
	Evaluate()
	// Part returns events that pass, as many as the filter's limit, the oldest or the latest of them, oldest first; and
	// how many are left out before them.
	Part(f journal.Filter, latest bool) (events []journal.Event, out uint64)
	ClearJournal(journal.Filter)
	Dropped() uint64
	First() uint64 // the number of the oldest event that is remembered, or of the next if none is
	Last() uint64  // the number of the latest event
	// Next waits for events. It may return neither events nor an error, to be called again.
	Next(context.Context, journal.Filter) ([]journal.Event, error)
}

// Scenarios are the scenarios in use.
type Scenarios interface {
	Scenarios() []*scenario.Scenario
	AddScenario(*scenario.Scenario) error
	RemoveScenario(name string) int
}

// Emulator is what concerns the emulator as a whole.
type Emulator interface {
	// Health says of each part whether it works; the error, why what is acknowledged now would be lost.
	Health() (map[string]bool, error)
	About() About
	Clock() Clock
	// Until advances the clock to an instant.
	Until(time.Time) error
	Sessions() []Session
	EndSession(kind string, session uint64) error
	CutSession(kind string, session uint64, at int64) error
	Verify(journal.Filter) []Outcome
	Advance(time.Duration) (time.Time, error)
	Reset(Scope) error
	// WriteCapsule writes a file by which what happened in the scope happens again.
	WriteCapsule(context.Context, io.Writer, Scope) error
	Advertise() Advertise
	SetAdvertise(Advertise) error
}

// Environment is what clients need to reach and to trust the emulator.
type Environment interface {
	Authority() []byte
	KnownHosts(host string) (string, error) // for who calls that host; "" without an SFTP server
	Addresses(*http.Request) clientenv.Addresses
}

// Request is a request as the emulator sees it.
type Request struct {
	ID            int64          `json:"id"`
	API           string         `json:"api"`
	Key           string         `json:"key,omitempty"`   // of a request of the database API, in full
	Token         string         `json:"token,omitempty"` // of a request of the script API, shortened
	Contract      string         `json:"contract"`
	State         string         `json:"state"`
	Scenario      string         `json:"scenario"`
	CreatedAt     time.Time      `json:"created_at"`
	FaultsUsed    int            `json:"faults_used"`      // how often a fault of its scenario was used
	DumpSize      int64          `json:"dump_size"`        // of the complete dump
	Status        map[string]any `json:"status,omitempty"` // nil in a brief view
	SharedSize    int64          `json:"shared_size"`
	Contiguous    int64          `json:"contiguous"`
	AccessExpires *time.Time     `json:"access_expires"`
	Upload        any            `json:"upload,omitempty"` // what came over rsync; nil: nothing did
}

// Outcome is what came of one expectation of a scenario.
type Outcome struct {
	Scenario string `json:"scenario"`
	Expect   string `json:"expect"`
	Verdict  string `json:"verdict"`
	Wanted   string `json:"wanted"`
	Saw      string `json:"saw,omitempty"`
	Hint     string `json:"hint,omitempty"`
	Nearest  uint64 `json:"nearest,omitempty"`
}

// Scope is what a reset or a capsule is about: a request, a contract, or everything, for the zero value.
type Scope struct {
	Request  int64
	Contract string
}

// Advertise is what answers say of how to reach the emulator.
type Advertise struct {
	URL      string `json:"url,omitempty"`
	SFTPHost string `json:"sftp_host,omitempty"`
	SFTPPort int    `json:"sftp_port,omitempty"`

	TransferPort int `json:"transfer_port,omitempty"`
}
