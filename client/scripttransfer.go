package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client/internal/rsync"
)

// scriptUser is whom the SSH servers of transfers know, and dataDir where they have the files (row S4.2).
const (
	scriptUser = "odoo"
	dataDir    = "/data/"
)

// ScriptTransferOptions are the options of [Script.Upload] and [Script.Download]. Signers are required.
type ScriptTransferOptions struct {
	// Signers are the private keys to log in with. One of them is that of ScriptParams.SSHKey.
	Signers []ssh.Signer

	// Progress, if not nil, is called when bytes were moved, one call at a time. It should be quick.
	Progress func(Progress)

	// Retry says how long to retry broken connections. Files that no earlier try brought whole are progress.
	Retry *RetryOptions
}

// Transferred is the result of an upload or a download over rsync.
type Transferred struct {
	Size    int64 // of all files
	Bytes   int64 // of file data that were moved; those that were moved twice count twice
	Files   int   // that were moved; of an upload, by the last try
	Skipped int   // files that were there already
	Tries   int   // how many SSH servers were started

	// The paths of what was downloaded. They are empty for what the platform does not have.
	Dump      string // the upgraded dump; a file or a directory
	Filestore string // a directory with files to merge over those of the database
	Report    string // an HTML page
	Log       string // of the upgrade

	// Left are the names of links and devices, which were not made.
	Left []string
}

// Upload uploads a dump (row S5.3). It starts and stops the transfer. Files that the platform has, by their size and
// time, are not sent again; broken connections are continued with a new transfer. The dump is at the platform when
// the error is nil.
//
// The error is an *[Error] that wraps what ended the transfer, such as ErrHostKey, ErrLoginRefused, ErrUnreachable or
// ErrChanged.
func (s *Script) Upload(
	ctx context.Context, ref ScriptRef, dump *ScriptDump, opts *ScriptTransferOptions,
) (*Transferred, error) {
	t := &scriptTransfer{s: s, ref: ref, op: "upload", kind: TransferUpload, sum: Transferred{Size: dump.size}}
	command := rsync.UploadCommand(dataDir + dump.name)
	if !dump.info.IsDir() {
		t.advice = ". An upload goes on file by file, so that a dump in the directory format (pg_dump -Fd) does better"
	}
	return t.run(ctx, opts, func(stream rsync.Stream, _ *Transfer) (int, error) {
		sent, err := rsync.Send(stream, dump.source(func(done int64) { t.progress(done, dump.size) }))
		t.sum.Bytes += sent.Bytes
		if err == nil {
			t.sum.Files, t.sum.Skipped = sent.Files, sent.Whole-sent.Files
		}
		if errors.Is(err, rsync.ErrSource) {
			err = local("reading the dump", err)
		}
		return sent.Whole, err
	}, func(*Transfer) string { return command })
}

// Download downloads what the upgrade has made into a directory, which must exist: the upgraded dump, filestore,
// upgrade-report.html and upgrade.log, each of which the platform may not have (row S5.10). Files that are there
// with the right size and time are kept, other files of these names are replaced. Nothing else is touched. A file
// gets its name when it is whole; what has come of it before a break is kept beside, and only the rest is sent again,
// also by the next process. The error wraps ErrNotFound if there is no upgraded dump.
func (s *Script) Download(
	ctx context.Context, ref ScriptRef, dir string, opts *ScriptTransferOptions,
) (*Transferred, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &Error{Op: "download", Err: local("opening the folder to download into", err)}
	}
	defer root.Close()
	t := &scriptTransfer{s: s, ref: ref, op: "download", kind: TransferDownload}
	wanted := func(tr *Transfer) []string { return []string{tr.DumpName, filestoreName, reportName, logName} }
	return t.run(ctx, opts, func(stream rsync.Stream, tr *Transfer) (int, error) {
		r := rsync.Receiver{Root: root, Wanted: wanted(tr), Parts: partsName, Progress: t.progress}
		got, err := r.Run(stream)
		t.sum.Bytes += got.Bytes
		t.sum.Files += got.Files
		if errors.Is(err, rsync.ErrDestination) {
			err = local("writing the download", err)
		}
		if err == nil {
			t.sum.Size, t.sum.Left = got.Total(), got.Left
			t.sum.Skipped = max(0, got.Skipped+got.Files-t.sum.Files)
			t.name(dir, tr.DumpName, got.Entries)
			if t.sum.Dump == "" {
				err = &permanentError{fmt.Errorf("%w: the platform has no upgraded dump (%s)", ErrNotFound, tr.DumpName)}
			}
		}
		return got.Skipped + got.Files, err
	}, func(tr *Transfer) string {
		var paths []string
		for _, name := range wanted(tr) {
			paths = append(paths, dataDir+name)
		}
		return rsync.DownloadCommand(paths...)
	})
}

// name notes what came.
func (t *scriptTransfer) name(dir, dump string, entries []rsync.Entry) {
	for name, path := range map[string]*string{
		dump: &t.sum.Dump, filestoreName: &t.sum.Filestore, reportName: &t.sum.Report, logName: &t.sum.Log,
	} {
		if slices.ContainsFunc(entries, func(e rsync.Entry) bool { return e.Name == name }) {
			*path = filepath.Join(dir, name)
		}
	}
}

type scriptTransfer struct {
	s    *Script
	ref  ScriptRef
	op   string
	kind TransferKind
	o    ScriptTransferOptions
	sum  Transferred

	advice string // for who has to give up
}

func (t *scriptTransfer) progress(done, total int64) {
	if t.o.Progress != nil {
		t.o.Progress(Progress{Done: done, Total: total})
	}
}

// speak is one session of rsync. It returns how many files are whole in the end.
type speak func(rsync.Stream, *Transfer) (whole int, err error)

// run starts transfers until one goes well.
func (t *scriptTransfer) run(
	ctx context.Context, opts *ScriptTransferOptions, speak speak, command func(*Transfer) string,
) (*Transferred, error) {
	if opts != nil {
		t.o = *opts
	}
	if len(t.o.Signers) == 0 {
		return nil, errors.New("client: " + t.op + ": no SSH key was given to log in with")
	}
	retry := backoff{RetryOptions: t.o.Retry.withDefaults()}
	best, same := 0, 0
	for {
		t.sum.Tries++
		whole, err := t.try(ctx, speak, command)
		if ctx.Err() != nil {
			return &t.sum, &Error{Op: t.op, Err: context.Cause(ctx)}
		}
		if err == nil {
			break
		}
		var refused *Error // the platform's
		if errors.As(err, &refused) && !errors.Is(err, ErrTransient) {
			return &t.sum, err
		}
		if refused == nil && permanentSFTP(err) {
			return &t.sum, &Error{Op: t.op, Err: err}
		}
		if whole > best {
			best, same = whole, 0
			retry.progress()
		}
		// What a server says stays so more often than what the network does, a page in place of an answer, too.
		if refused == nil || refused.Status/100 == 2 {
			if same++; same >= maxStatuses {
				err = fmt.Errorf("given up after %d tries with no file more: %w%s", same, err, t.advice)
				return &t.sum, &Error{Op: t.op, Err: err}
			}
		}
		if refused == nil {
			err = &Error{Op: t.op, Err: err}
		}
		t.s.c.log.WarnContext(ctx, "transfer broke off", "op", t.op, "error", err, "try", t.sum.Tries)
		if err := retry.pause(ctx, err); err != nil {
			return &t.sum, err
		}
	}
	if err := t.stop(ctx); err != nil {
		return &t.sum, err
	}
	t.s.c.log.InfoContext(ctx, "transferred", "op", t.op, "id", t.ref.ID, "bytes", t.sum.Bytes,
		"files", t.sum.Files, "skipped", t.sum.Skipped, "tries", t.sum.Tries)
	return &t.sum, nil
}

// stopTime is how long the end of a transfer is reported to a platform that does not answer. Its server ends by
// itself, too (row S3.12).
const stopTime = 30 * time.Second

// stop reports a transfer that went well. That this fails does not matter to what was moved.
func (t *scriptTransfer) stop(ctx context.Context) error {
	o := t.o.Retry.withDefaults()
	o.Limit, o.Uncertain = min(o.Limit, stopTime), true
	err := Retry(ctx, &o, func(ctx context.Context) error { return t.s.StopTransfer(ctx, t.ref) })
	if ctx.Err() != nil {
		return &Error{Op: t.op, Err: context.Cause(ctx)}
	}
	if err != nil {
		t.s.c.log.WarnContext(ctx, "transfer not stopped", "op", t.op, "error", err)
	}
	return nil
}

// try starts a transfer and speaks rsync with its server.
func (t *scriptTransfer) try(ctx context.Context, speak speak, command func(*Transfer) string) (whole int, err error) {
	tr, err := t.s.StartTransfer(ctx, t.ref, t.kind)
	if err != nil {
		return 0, err
	}
	addr := net.JoinHostPort(tr.Host, strconv.Itoa(tr.Port))
	algorithms, check, err := tr.hostKeys(addr)
	if err != nil {
		return 0, err
	}
	conn, err := t.s.c.dialSSH(ctx, sshServer{addr, scriptUser, t.o.Signers, algorithms, check})
	if errors.Is(err, ErrUnreachable) {
		return 0, fmt.Errorf("%w. Transfers use ports from 32768 to 60999, which a firewall may keep closed", err)
	}
	if err != nil {
		return 0, err
	}
	defer conn.cut()
	channel, err := execSSH(conn.Client, command(tr))
	if err != nil {
		return 0, fmt.Errorf("starting rsync at %s: %w", addr, cause(ctx, err))
	}
	whole, err = speak(rsync.Stream{R: channel, W: channel}, tr)
	if err != nil {
		said := ""
		if !errors.Is(err, ErrChanged) { // which the server knows nothing of, so that it waits for more
			said = channel.said(afterError)
		}
		conn.cut()
		rsync.Join(err)
		return whole, explainSaid(cause(ctx, err), said)
	}
	if err := channel.end(); err != nil {
		return whole, fmt.Errorf("rsync at %s: %w", addr, cause(ctx, err))
	}
	return whole, nil
}

// afterError is how long to wait for what the server says about an error.
const afterError = 2 * time.Second

func explainSaid(err error, said string) error {
	if said == "" {
		return err
	}
	return fmt.Errorf("%w; the server says %q", err, said)
}
