package likeness

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/upgrademock/upgrademock/internal/dump"
)

// unpacks names the packings that got has around the wanted file; "" if that is not in there. The error is one of
// reading, or wraps [dump.ErrBusy].
func unpacks(got, want File) (string, error) {
	ctx := context.Background()
	packings, err := dump.Around(ctx, got, got.Size, func(r io.Reader) bool { return holds(r, want) })
	if err != nil || packings != nil {
		return strings.Join(packings, ", "), err
	}
	return written(ctx, got, want)
}

// holds reports whether r is the wanted file.
func holds(r io.Reader, want File) bool {
	content := bufio.NewReaderSize(r, compareBuffer) // which commonStream reads from directly
	same, err := commonStream(content, want.open())
	if err != nil || same != want.Size {
		return false
	}
	_, err = content.Peek(1)
	return err == io.EOF
}

// written is for the archives of PostgreSQL, which hold the wanted SQL as tables and data.
func written(ctx context.Context, got, want File) (string, error) {
	forms := dump.Sniff(got, got.Size).Compressions
	if len(forms) < 2 || forms[len(forms)-1] != "sql" {
		return "", nil
	}
	sql, err := dump.SQL(ctx, got, got.Size)
	if errors.Is(err, dump.ErrNotSQL) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer sql.Close()
	if !holds(sql, want) {
		return "", nil
	}
	return strings.Join(forms[:len(forms)-1], ", "), nil
}
