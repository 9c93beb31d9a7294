package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

// upload uploads the dump and saves that it is there.
func (r *run) upload(ctx context.Context) error {
	s := r.state
	f, err := os.Open(s.Dump.Path)
	if err != nil {
		return fmt.Errorf("the dump: %w", err)
	}
	defer f.Close()
	via := r.chooseVia()
	if via != s.Via {
		s.Via = via
		if err := s.Save(); err != nil {
			return err
		}
	}
	if via == SFTP {
		err = r.uploadSFTP(ctx, f)
		if r.Via != SFTP && ctx.Err() == nil && httpsInstead(err) {
			r.step("fallback", fmt.Sprintf("%v. Going over HTTPS instead.", err), nil)
			via, s.Via = HTTPS, HTTPS
			err = s.Save()
		}
	}
	if err == nil && via == HTTPS {
		err = r.uploadHTTPS(ctx, f)
	}
	if err != nil {
		return err
	}
	// If the file was changed meanwhile, what was sent may not be the dump of the state. The next run reads it again.
	if same, err := s.Dump.unchanged(); err != nil || !same {
		return fmt.Errorf("the dump %s: %w while it was uploaded, so that nobody knows what the platform has; "+
			"start again to have it checked", s.Dump.Path, cmp.Or(err, client.ErrChanged))
	}
	s.Phase = Uploaded
	if err := s.Save(); err != nil {
		return err
	}
	r.step("uploaded", fmt.Sprintf("The dump is uploaded: %s.", Size(s.Dump.Size)),
		map[string]any{"bytes": s.Dump.Size, "sha256": s.Dump.SHA256, "via": s.Via})
	return nil
}

// httpsInstead reports whether HTTPS may be used after SFTP failed with err. After a host key that has changed, it
// may not.
func httpsInstead(err error) bool {
	var changed *client.HostKeyChangedError
	return errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrLoginRefused) ||
		(errors.Is(err, client.ErrHostKey) && !errors.As(err, &changed))
}

// chooseVia returns the way to upload. It keeps that of an earlier run, since HTTPS cannot continue an upload over
// SFTP.
func (r *run) chooseVia() string {
	switch {
	case r.Via == HTTPS || r.Via == SFTP:
		return r.Via
	case r.state.Via != "":
		return r.state.Via
	case r.state.Dump.Size >= r.SFTPFrom:
		return SFTP
	}
	return HTTPS
}

// maxUploads is how often a whole dump is sent over HTTPS.
const maxUploads = 5

func (r *run) uploadHTTPS(ctx context.Context, f *os.File) error {
	s := r.state
	size := s.Dump.Size
	r.step("uploading", fmt.Sprintf("Uploading %s over HTTPS.", Size(size)),
		map[string]any{"via": HTTPS, "bytes": size})
	tries := 0
	return r.retry(ctx, func(ctx context.Context) error {
		// Only if all of it was sent before, also by another process, can it have arrived.
		if s.Phase == Sent {
			arrived, err := r.arrived(ctx)
			if arrived || err != nil {
				return err
			}
			s.Phase = Created
		}
		if tries++; tries > maxUploads {
			return fmt.Errorf("the upload broke off %d times; SFTP could resume it: --via sftp", maxUploads)
		}
		var noted error
		err := r.Client.Upload(ctx, s.Ref(), io.NewSectionReader(f, 0, size), size, &client.UploadOptions{
			Progress: func(p client.Progress) {
				if p.Done == size && s.Phase != Sent {
					s.Phase = Sent
					noted = s.SaveQuickly()
				}
				r.Report.Progress("upload", p)
			}})
		if err == nil && noted != nil {
			return noted
		}
		if errors.Is(err, client.ErrInvalidState) {
			return nil // it is past draft; the next status shows where
		}
		return err
	})
}

// arrived reports whether the platform has the whole dump, by the size in the status (row 4.7). An upload that broke
// leaves no size, or that of the dump before (row 4.5).
func (r *run) arrived(ctx context.Context) (bool, error) {
	req, err := r.status(ctx)
	if err != nil {
		return false, err
	}
	if req.State != client.StateDraft {
		return true, nil
	}
	return sizeMatches(req.Filesize, r.state.Dump.Size), nil
}

// sizeMatches reports whether the platform's rounded size, such as "912.99 Kb", is that of size bytes. It has two
// decimals, and its units are powers of 1024 (assumed).
func sizeMatches(figure string, size int64) bool {
	number, unit, _ := strings.Cut(strings.TrimSpace(figure), " ")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return false
	}
	power := strings.Index("bkmgt", strings.ToLower(unit + "?")[:1])
	if power < 0 {
		return false
	}
	one := 1.0
	for range power {
		one *= 1024
	}
	diff := v - float64(size)/one
	return diff > -0.011 && diff < 0.011
}

func (r *run) uploadSFTP(ctx context.Context, f *os.File) error {
	s := r.state
	o, err := r.sftpOptions("upload")
	if err != nil {
		return err
	}
	if r.Via != SFTP {
		// HTTPS is another way, so SFTP is not tried for long.
		o.Retry.Limit = min(o.Retry.Limit, 30*time.Second)
	}
	access, err := r.access(ctx, o.Signers)
	if errors.Is(err, client.ErrInvalidState) {
		return nil // past draft, as in uploadHTTPS
	}
	if err != nil {
		return err
	}
	r.step("uploading", fmt.Sprintf("Uploading %s over SFTP to %s.", Size(s.Dump.Size), access.Addr()),
		map[string]any{"via": SFTP, "bytes": s.Dump.Size})
	// What the server has confirmed is saved now and then, so that the next process need not read it back.
	var noted error
	o.Confirmed = s.Confirmed
	note := func(done int64) {
		s.Confirmed = done
		noted = cmp.Or(noted, s.SaveQuickly())
	}
	var done int64
	o.Progress = func(p client.Progress) {
		if done = p.Done; done < s.Confirmed || done-s.Confirmed >= confirmEvery {
			note(done)
		}
		r.Report.Progress("upload", p)
	}
	t, err := r.Client.UploadSFTP(ctx, access, f, s.Dump.Size, o)
	if err != nil {
		if done > s.Confirmed {
			note(done)
		}
		return errors.Join(err, noted)
	}
	if t.From > 0 {
		r.step("resumed", fmt.Sprintf("%s of it were there already.", Size(t.From)), map[string]any{"from": t.From})
	}
	return noted
}

// confirmEvery is how many bytes may be confirmed before that is saved.
const confirmEvery = 16 << 20

// sftpOptions returns the options of a transfer, which what names for the reporter.
func (r *run) sftpOptions(what string) (*client.SFTPOptions, error) {
	signers, err := r.Signers()
	if err != nil {
		return nil, err
	}
	retry := r.Retry
	retry.OnRetry = r.reportRetry
	return &client.SFTPOptions{
		Signers:  signers,
		HostKeys: r.HostKeys,
		Window:   r.Window,
		Retry:    &retry,
		Progress: func(p client.Progress) { r.Report.Progress(what, p) },
		Renew: func(ctx context.Context) (*client.SFTPAccess, error) {
			r.step("renewing", "The SFTP access has ended: asking for it again.", nil)
			return r.access(ctx, signers)
		},
	}, nil
}

func (r *run) access(ctx context.Context, signers []ssh.Signer) (*client.SFTPAccess, error) {
	var keys []ssh.PublicKey
	for _, s := range signers {
		keys = append(keys, s.PublicKey())
	}
	var access *client.SFTPAccess
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		access, err = r.Client.RequestSFTPAccess(ctx, r.state.Ref(), client.AuthorizedKeys(keys...))
		return err
	})
	return access, err
}
