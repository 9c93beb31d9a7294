package control

import "time"

// View is how much of a request is shown.
type View string

// Views of a request.
const (
	ViewUsual  View = ""       // keys in full, tokens shortened
	ViewBrief  View = "brief"  // neither, and no status
	ViewHidden View = "hidden" // keys shortened, in the status, too
	ViewFull   View = "full"   // tokens in full, too
)

// Selection is which requests are listed, for a page at a time. The zero value selects all.
type Selection struct {
	Contract, State string // "" is any
	// Found reports whether a request is selected; nil: it is. It sees what a brief view has, and is called while others
	// wait.
	Found  func(*Request) bool
	Newest bool  // the latest first
	After  int64 // the id behind which the page begins, in that order
	Limit  int   // the most requests of a page; 0: all
	View   View
}

// Timeline is how far a request has come in its scenario.
type Timeline struct {
	Request     int64           `json:"request"`
	Scenario    string          `json:"scenario"`
	Now         time.Time       `json:"now"` // by the emulator's clock
	ProcessedAt *time.Time      `json:"processed_at"`
	Forced      *Forced         `json:"forced,omitempty"` // nil: it follows its scenario
	Steps       []TimelineStep  `json:"steps"`
	Faults      []TimelineFault `json:"faults"`
}

// Forced is a state that a request was put in from outside its scenario.
type Forced struct {
	State string    `json:"state"`
	At    time.Time `json:"at"`
}

// TimelineStep is a step of a scenario.
type TimelineStep struct {
	Index int            `json:"index"`
	State string         `json:"state"`
	For   string         `json:"for,omitempty"`
	Set   map[string]any `json:"set,omitempty"`
	Is    string         `json:"is"`              // past, present, next, or left where another state was forced
	Began *time.Time     `json:"began,omitempty"` // or will begin; nil: not known
	Due   *time.Time     `json:"due,omitempty"`   // when it ends by itself; nil: it does not, or not known
	Polls int            `json:"polls,omitempty"` // that it has answered, of a step that counts them
	Of    int            `json:"of,omitempty"`    // polls that it answers in all
}

// TimelineFault is a fault of a scenario, or one that was asked for by hand.
type TimelineFault struct {
	Index int    `json:"index"` // -1: by hand
	On    string `json:"on"`
	Does  string `json:"does"`
	Is    string `json:"is"`           // armed, spent, or shadowed by an earlier one that takes every call
	By    *int   `json:"by,omitempty"` // the index of that one
	Met   int    `json:"met"`          // how many calls there were at its place
	Used  int    `json:"used"`         // on how many of them it was used
	Times int    `json:"times,omitempty"`
	Skip  int    `json:"skip,omitempty"`
	Every int    `json:"every,omitempty"`
}

// File is a file of a request.
type File struct {
	Path     string `json:"path"` // below the request's files
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Size     *int64 `json:"size"` // nil: not known before it is read
	Checksum string `json:"checksum,omitempty"`
}

// Clock is the emulator's clock.
type Clock struct {
	Now     time.Time  `json:"now"`
	Virtual bool       `json:"virtual"`        // it stands until it is advanced
	Next    *time.Time `json:"next,omitempty"` // the earliest instant at which a request changes its state by itself
}

// The kinds of sessions.
const (
	SFTP  = "sftp"
	Rsync = "rsync"
)

// Session is an SSH connection that there is.
type Session struct {
	Kind    string    `json:"kind"`
	Session uint64    `json:"session"`           // as in the journal's events of that kind
	Request int64     `json:"request,omitempty"` // 0: not known
	Since   time.Time `json:"since"`             // by real time
	Remote  string    `json:"remote"`
	User    string    `json:"user,omitempty"`
	Client  string    `json:"client,omitempty"`
	Key     string    `json:"public_key,omitempty"`
	Moves   string    `json:"moves,omitempty"` // upload or download; "": nothing
	Path    string    `json:"path,omitempty"`  // the file that is open over SFTP
	Offset  int64     `json:"offset"`          // how far that has come; of rsync the bytes of file data
	Rate    int64     `json:"rate"`            // bytes a second, lately
}

// About is what a page says of the emulator as a whole.
type About struct {
	Run        string     `json:"run"`     // names the journal, whose numbers begin anew when the emulator does
	Started    time.Time  `json:"started"` // by real time
	Edition    string     `json:"edition"`
	Listeners  []Listener `json:"listeners"`
	CAFile     string     `json:"ca_file"`
	KnownHosts string     `json:"known_hosts"`
	Dropped    uint64     `json:"dropped"` // events that the journal's bound has cost
	First      uint64     `json:"first"`   // the number of the oldest event that is remembered, or of the next
	Last       uint64     `json:"last"`    // the number of the latest event
	Clock      Clock      `json:"clock"`
	Requests   int        `json:"requests"` // how many there are
	Sessions   int        `json:"sessions"` // over SSH, how many there are
}

// Listener is where the emulator listens.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	OK      bool   `json:"ok"`
}
