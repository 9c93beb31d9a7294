package mockserver

import (
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// MaxUploadFiles is how many files an Upload names.
const MaxUploadFiles = 1000

// Upload is what came for a request of the script API over rsync.
type Upload struct {
	Name       string `json:"name"`                 // what it is called in /data, such as "origin.dump"
	Directory  bool   `json:"directory"`            // it is a complete dump in PostgreSQL's directory format
	Incomplete string `json:"incomplete,omitempty"` // why there is no complete dump; "" if there is one

	// Count and Size are of the files of the complete dump, and Checksum is that of a dump that is one file.
	Count    int    `json:"count"`
	Size     int64  `json:"size"` // its bytes
	Checksum string `json:"checksum,omitempty"`
	// Files are the first of these files, MaxUploadFiles at most. Server.Request has them, and Server.Requests has not.
	Files []UploadFile `json:"files,omitempty"`

	// Compressions, DatabaseVersion, DatabaseUUID and PostgreSQL are what the keys of these names are in a status of the
	// database API. "" is unknown.
	Compressions    []string `json:"compressions"`
	DatabaseVersion string   `json:"database_version,omitempty"`
	DatabaseUUID    string   `json:"database_uuid,omitempty"`
	PostgreSQL      string   `json:"postgresql,omitempty"`

	// Sessions are the latest runs of rsync, oldest first.
	Sessions []UploadSession `json:"sessions"`
}

// UploadFile is a file of an Upload.
type UploadFile struct {
	Name     string `json:"name"`               // in /data, such as "origin.dump/toc.dat"
	Size     int64  `json:"size"`               // its bytes
	Sent     int64  `json:"sent"`               // how many of its bytes the last session that sent it has sent
	Checksum string `json:"checksum,omitempty"` // "crc32c:…"
}

// UploadSession is what one run of rsync did to an Upload.
type UploadSession struct {
	EndedAt      time.Time `json:"ended_at"`      // by the emulator's clock
	OK           bool      `json:"ok"`            // it ended in order
	Sent         int       `json:"sent"`          // files that arrived whole
	Skipped      int       `json:"skipped"`       // files that were there already
	BytesSent    int64     `json:"bytes_sent"`    // bytes of files that came over the wire
	BytesSkipped int64     `json:"bytes_skipped"` // bytes of these files that did not have to
}

// uploadOf is the upload of a request as it was described; nil if there is none.
func uploadOf(r *platform.Snapshot) *Upload {
	from := r.Upload
	if from == nil {
		return nil
	}
	u := &Upload{
		Name: from.Name, Directory: from.Directory, Incomplete: from.Incomplete,
		Count: from.Files, Size: from.Size, Checksum: r.DumpChecksum, Compressions: []string{}, Sessions: []UploadSession{},
	}
	if d := &r.Described; r.HasDump {
		u.Compressions = append(u.Compressions, d.Compressions...)
		u.DatabaseVersion, u.DatabaseUUID, u.PostgreSQL = d.DatabaseVersion, d.DatabaseUUID, d.PostgreSQL
	}
	for _, s := range from.Sessions {
		u.Sessions = append(u.Sessions, UploadSession(s))
	}
	return u
}

// filesOf are the first files of a request's upload.
func filesOf(r *platform.Request) ([]UploadFile, error) {
	files, err := r.Files(MaxUploadFiles)
	if err != nil {
		return nil, err
	}
	list := make([]UploadFile, len(files))
	for i, f := range files {
		list[i] = UploadFile{Name: f.Name, Size: f.Size, Sent: f.Sent, Checksum: f.Checksum}
	}
	return list, nil
}
