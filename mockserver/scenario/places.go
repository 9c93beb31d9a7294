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

// The places of the script API: its calls, and what happens in a transfer.
const (
	OnScriptCreate        = "script.create"
	OnScriptTransferStart = "script.transfer_start"
	OnScriptTransferStop  = "script.transfer_stop"
	OnScriptProcess       = "script.process"
	OnScriptStatus        = "script.status"
	OnScriptLogs          = "script.logs"
	OnScriptWipe          = "script.wipe"
	// OnRsyncLogin is the SSH server of one transfer. What goes wrong there is chosen and counted once for each
	// transfer, when its transfer/start is answered, and holds for all of its logins: known_hosts is part of that
	// answer, and the port and the host key come with it.
	OnRsyncLogin    = "rsync.login"
	OnRsyncUpload   = "rsync.upload"   // an rsync that sends, chosen when it begins
	OnRsyncDownload = "rsync.download" // an rsync that fetches, chosen when it begins
)

// The APIs, as `when: {api: …}` names them.
const (
	APIDatabase = "database" // /database/v1
	APIScript   = "script"   // /upgrade/request, which the upgrade script uses
)

// apis are the words for the APIs.
var apis = []string{APIDatabase, APIScript}

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

	actKnownHosts  = "known_hosts"
	actUnreachable = "unreachable"
)

// place says what can go wrong in one place.
type place struct {
	api     string
	on      string
	actions []string
	after   []string // the actions that can trigger at a byte; nil if there are no bytes to count
	rate    bool     // whether bytes flow there
	files   bool     // whether they are those of several files, so that one of them can be named
}

var (
	answer   = []string{actFailure, actHTTP, actReset, actCut, actTruncate, actGarbage}
	transfer = []string{actError, actDisconnect, actReset, actRevoke}
	broken   = []string{actDisconnect, actReset}
	session  = []string{actRefuse, actDisconnect, actReset}
)

// places has every place where a fault is possible.
var places = []place{
	{api: APIDatabase, on: OnCreate, actions: answer, rate: true},
	{api: APIDatabase, on: OnUpload, actions: answer, after: []string{actFailure, actHTTP, actReset, actCut}, rate: true},
	{api: APIDatabase, on: OnRequestSFTPAccess, actions: answer, rate: true},
	{api: APIDatabase, on: OnProcess, actions: answer, rate: true},
	{api: APIDatabase, on: OnStatus, actions: answer, rate: true},
	{api: APIDatabase, on: OnSkipTest, actions: answer, rate: true},
	{api: APIDatabase, on: OnUpgrade, actions: answer, after: []string{actFailure, actHTTP, actReset, actCut}, rate: true},
	{api: APIDatabase, on: OnDownload, actions: answer, after: []string{actReset, actCut, actTruncate}, rate: true},
	{api: APIDatabase, on: OnSFTPLogin, actions: []string{actRefuse, actDisconnect, actReset, actHostKey}},
	{api: APIDatabase, on: OnSFTPOpen, actions: transfer},
	{api: APIDatabase, on: OnSFTPRead, actions: transfer, after: transfer, rate: true},
	{api: APIDatabase, on: OnSFTPWrite, actions: transfer, after: transfer, rate: true},
	{api: APIDatabase, on: OnSFTPClose, actions: transfer},
	{api: APIScript, on: OnScriptCreate, actions: answer, rate: true},
	{api: APIScript, on: OnScriptTransferStart, actions: answer, rate: true},
	{api: APIScript, on: OnScriptTransferStop, actions: answer, rate: true},
	{api: APIScript, on: OnScriptProcess, actions: answer, rate: true},
	{api: APIScript, on: OnScriptStatus, actions: answer, rate: true},
	{api: APIScript, on: OnScriptLogs, actions: answer, rate: true},
	{api: APIScript, on: OnScriptWipe, actions: answer, rate: true},
	{api: APIScript, on: OnRsyncLogin, actions: []string{
		actRefuse, actDisconnect, actReset, actHostKey, actKnownHosts, actUnreachable,
	}},
	{api: APIScript, on: OnRsyncUpload, actions: session, after: broken, rate: true, files: true},
	{api: APIScript, on: OnRsyncDownload, actions: session, after: broken, rate: true, files: true},
}

func findPlace(on string) (place, bool) {
	i := slices.IndexFunc(places, func(p place) bool { return p.on == on })
	if i < 0 {
		return place{}, false
	}
	return places[i], true
}

// placeNames returns what a fault of that API can be on; all places for "".
func placeNames(api string) []string {
	var names []string
	for _, p := range places {
		if api == "" || p.api == api {
			names = append(names, p.on)
		}
	}
	return names
}

// eventNames returns what an expectation about that API can count, order and time: every place, and of the database
// API sftp.put and sftp.get. It returns all of them for "".
func eventNames(api string) []string {
	names := placeNames(api)
	if api == APIScript {
		return names
	}
	return append(names, OnSFTPPut, OnSFTPGet)
}

// twins are the events of the database API and what is the like of each over the script API.
var twins = map[string]string{
	OnCreate: OnScriptCreate, OnUpload: OnRsyncUpload, OnRequestSFTPAccess: OnScriptTransferStart,
	OnProcess: OnScriptProcess, OnStatus: OnScriptStatus, OnDownload: OnRsyncDownload, OnSFTPLogin: OnRsyncLogin,
	OnSFTPRead: OnRsyncDownload, OnSFTPWrite: OnRsyncUpload, OnSFTPPut: OnRsyncUpload, OnSFTPGet: OnRsyncDownload,
}

// twin returns the like of an event in the other API, "" if there is none.
func twin(event string) string {
	if script, ok := twins[event]; ok {
		return script
	}
	for _, database := range placeNames(APIDatabase) { // the first one, so that it is always the same
		if twins[database] == event {
			return database
		}
	}
	return ""
}
