package scenario

import "slices"

// The places where a fault can be, and what can be counted, ordered and timed in an expectation.
const (
	OnCreate            = "create"
	OnUpload            = "upload"
	OnRequestSFTPAccess = "request_sftp_access"
	OnProcess           = "process"
	OnStatus            = "status"
	OnSkipTest          = "skip_test"
	OnUpgrade           = "upgrade"
	OnDownload          = "download" // the URLs of a status answer
	OnSFTPLogin         = "sftp.login"
	OnSFTPOpen          = "sftp.open"
	OnSFTPRead          = "sftp.read"
	OnSFTPWrite         = "sftp.write"
	OnSFTPClose         = "sftp.close"
	OnSFTPPut           = "sftp.put" // expectations only: a file written over SFTP and closed in order
	OnSFTPGet           = "sftp.get" // expectations only: a file read over SFTP and closed in order
)

// The actions, by the keys that scripts have for them.
const (
	actFailure    = "failure"
	actHTTP       = "http"
	actReset      = "reset"
	actCut        = "cut"
	actTruncate   = "truncate"
	actGarbage    = "garbage"
	actRefuse     = "refuse"
	actDisconnect = "disconnect"
	actError      = "error"
	actRevoke     = "revoke"
	actHostKey    = "hostkey"
)

// room says what can go wrong at a place.
type room struct {
	on      string
	actions []string
	after   []string // the actions that can strike at a byte; nil: there are no bytes to count
	rate    bool     // whether bytes flow there
}

var (
	answer   = []string{actFailure, actHTTP, actReset, actCut, actTruncate, actGarbage}
	transfer = []string{actError, actDisconnect, actReset, actRevoke}
)

// rooms is the whole table: a fault is possible where it stands here, and nowhere else.
var rooms = []room{
	{OnCreate, answer, nil, true},
	{OnUpload, answer, []string{actFailure, actHTTP, actReset, actCut}, true},
	{OnRequestSFTPAccess, answer, nil, true},
	{OnProcess, answer, nil, true},
	{OnStatus, answer, nil, true},
	{OnSkipTest, answer, nil, true},
	{OnUpgrade, answer, []string{actFailure, actHTTP, actReset, actCut}, true},
	{OnDownload, answer, []string{actReset, actCut, actTruncate}, true},
	{OnSFTPLogin, []string{actRefuse, actDisconnect, actReset, actHostKey}, nil, false},
	{OnSFTPOpen, transfer, nil, false},
	{OnSFTPRead, transfer, transfer, true},
	{OnSFTPWrite, transfer, transfer, true},
	{OnSFTPClose, transfer, nil, false},
}

func findRoom(on string) (room, bool) {
	i := slices.IndexFunc(rooms, func(r room) bool { return r.on == on })
	if i < 0 {
		return room{}, false
	}
	return rooms[i], true
}

// Places returns what a fault can be on.
func Places() []string {
	names := make([]string, len(rooms))
	for i, r := range rooms {
		names[i] = r.on
	}
	return names
}

// Harmless reports whether an event changes nothing on the platform, so that a client may cause it at any time.
func Harmless(event string) bool {
	switch event {
	case OnStatus, OnDownload, OnSFTPLogin, OnSFTPOpen, OnSFTPRead, OnSFTPGet:
		return true
	}
	return false
}

// Events returns what an expectation can count, order and time: every place, and sftp.put and sftp.get.
func Events() []string { return append(Places(), OnSFTPPut, OnSFTPGet) }
