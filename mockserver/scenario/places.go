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

// place says what can go wrong in one place.
type place struct {
	on      string
	actions []string
	after   []string // the actions that can trigger at a byte; nil if there are no bytes to count
	rate    bool     // whether bytes flow there
}

var (
	answer   = []string{actFailure, actHTTP, actReset, actCut, actTruncate, actGarbage}
	transfer = []string{actError, actDisconnect, actReset, actRevoke}
)

// places has every place where a fault is possible.
var places = []place{
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

func findPlace(on string) (place, bool) {
	i := slices.IndexFunc(places, func(p place) bool { return p.on == on })
	if i < 0 {
		return place{}, false
	}
	return places[i], true
}

// placeNames returns what a fault can be on.
func placeNames() []string {
	names := make([]string, len(places))
	for i, p := range places {
		names[i] = p.on
	}
	return names
}

// eventNames returns what an expectation can count, order and time: every place, and sftp.put and sftp.get.
func eventNames() []string { return append(placeNames(), OnSFTPPut, OnSFTPGet) }
