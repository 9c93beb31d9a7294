package rsync

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Bounds of a command. A name on the command line may be as long as a system takes it.
const (
	maxLine = 64 << 10
	maxArgs = 1000
	maxPath = 4095
	maxName = 255

	// maxDepth bounds the directories in each other. Whatever is done with a file costs a step for each of them.
	maxDepth = 128
)

// Command is a command line that the gate let through.
type Command struct {
	// Sender is true for a download: the server sends.
	Sender bool

	// Protected is true if the paths are not on the command line but come over the stream first (option -s of the
	// client, or RSYNC_PROTECT_ARGS in its environment). Sender is known all the same.
	Protected bool

	// Paths are the destination of an upload, or the sources of a download: relative with slashes, clean, never
	// leading out, "." for all of it. If Protected, they are nil until ReadArgs.
	Paths []string

	whole         []bool // for each path, whether it ends with a slash: the directory's contents are meant
	base          []string
	delete        bool // what the client does not have is deleted
	ignoreMissing bool // a source that is absent is no error

	// The letters of the command line that say what the client sends for each file.
	links, owner, group, devices, times, recurse bool
}

// A Refusal is a command that is not served, or a transfer that is not let through.
type Refusal struct {
	// Line says why and what to do, for the client's stderr. It has no line end.
	Line string
}

func (r *Refusal) Error() string { return r.Line }

func refuse(format string, args ...any) error {
	return &Refusal{Line: "rsync: refused: " + fmt.Sprintf(format, args...)}
}

// Parse takes a command line apart as a POSIX shell does, and returns it if it is one that the upgrade script's rsync
// sends. Any other is a [*Refusal]. It returns without having looked at files.
func Parse(line string) (*Command, error) {
	if len(line) > maxLine {
		return nil, refuse("the command line is longer than %d bytes", maxLine)
	}
	args, err := splitLine(line)
	if err != nil {
		return nil, refuse("%v", err)
	}
	if len(args) < 2 || args[0] != "rsync" || args[1] != "--server" {
		return nil, refuse("only \"rsync --server\" runs here; use rsync, not ssh or scp")
	}
	c := new(Command)
	rest, err := c.options(args[2:])
	if err != nil {
		return nil, err
	}
	if c.Protected {
		if len(rest) > 0 {
			return nil, refuse("option -s together with paths on the command line")
		}
		return c, nil
	}
	return c, c.paths(rest)
}

// ReadArgs reads the protected arguments from the stream, not a byte more, and fills in the paths. Arguments that are
// refused are a [*Refusal]. [Engine.Serve] calls it; before Serve, it is for who wants to know the paths. It does
// nothing if the command is not Protected, or if they are known already.
func (c *Command) ReadArgs(r io.Reader) error {
	if !c.Protected || c.Paths != nil {
		return nil
	}
	var (
		args  []string
		arg   []byte
		total int
		b     [1]byte
	)
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return fmt.Errorf("rsync: read the protected arguments: %w", noEOF(err))
		}
		if total++; total > maxLine {
			return refuse("the protected arguments are longer than %d bytes", maxLine)
		}
		if b[0] != 0 {
			arg = append(arg, b[0])
			continue
		}
		if len(arg) == 0 {
			break
		}
		args = append(args, string(arg))
		arg = arg[:0]
	}
	if len(args) == 0 || args[0] != "rsync" {
		return refuse("the protected arguments do not begin with \"rsync\"")
	}
	sender := c.Sender
	rest, err := c.options(args[1:])
	if err != nil {
		return err
	}
	if c.Sender != sender {
		return refuse("option --sender among the protected arguments only")
	}
	return c.paths(rest)
}

// options reads the options up to ".", which stands before the paths, and returns the paths.
func (c *Command) options(args []string) (paths []string, _ error) {
	for i, arg := range args {
		if arg == "." {
			return args[i+1:], nil
		}
		name, _, hasValue := strings.Cut(arg, "=")
		switch {
		case arg == "--sender":
			c.Sender = true
		case arg == "--delete", arg == "--delete-after":
			c.delete = true
		case arg == "--ignore-missing-args":
			c.ignoreMissing = true
		case arg == "--stats", name == "--log-format" && hasValue: // what the client shows
		case strings.HasPrefix(arg, "--"):
			return nil, refuseOption(name)
		case len(arg) > 1 && arg[0] == '-':
			if err := c.letters(arg[1:]); err != nil {
				return nil, err
			}
		default:
			return nil, refuse("%s before the paths, which begin with \".\"", quote(arg))
		}
	}
	if c.Protected {
		return nil, nil
	}
	return nil, refuse("no paths; they begin with \".\"")
}

func (c *Command) letters(letters string) error {
	for i := range len(letters) {
		switch letter := letters[i]; letter {
		case 'l':
			c.links = true
		case 'o':
			c.owner = true
		case 'g':
			c.group = true
		case 'D':
			c.devices = true
		case 't':
			c.times = true
		case 'r':
			c.recurse = true
		case 's':
			c.Protected = true
		case 'p', 'v': // modes of files, which are ours; and what the client shows
		case 'e': // takes the rest: what the client is able to do, of which nothing is used
			caps := letters[i+1:]
			if !capabilities.MatchString(caps) {
				return refuseOption("-e" + caps)
			}
			return nil
		default:
			return refuseOption("-" + string(rune(letter)))
		}
	}
	return nil
}

// capabilities is what stands behind the letter e, as of "e.iLsfxCIvu". A client of a version that is under way has
// the version of its protocol before the dot.
var capabilities = regexp.MustCompile(`^[0-9]*\.[0-9.A-Za-z]*$`)

func refuseOption(option string) error {
	return refuse("option %s is not served here; leave it out", quote(option))
}

// quote returns a text of the client as it can be shown: short, and without control characters.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}

func (c *Command) paths(args []string) error {
	switch {
	case len(args) == 0:
		return refuse("no path")
	case len(args) > maxArgs:
		return refuse("more than %d paths", maxArgs)
	case !c.Sender && len(args) > 1:
		return refuse("an upload has one destination, not %d", len(args))
	}
	for _, arg := range args {
		p, base, whole, err := parsePath(arg)
		if err != nil {
			c.Paths = nil
			return err
		}
		c.Paths = append(c.Paths, p)
		c.base = append(c.base, base)
		c.whole = append(c.whole, whole)
	}
	return nil
}

// parsePath returns what a path of the command line means below the directory that is served, the name under which
// rsync sends it, and whether its contents are meant rather than it.
func parsePath(arg string) (clean, base string, contents bool, _ error) {
	// A client that was given host:port:/data/x takes the host up to the first colon only (row S5.16).
	if port, p, ok := strings.Cut(arg, ":"); ok && port != "" && strings.Trim(port, "0123456789") == "" {
		arg = p
	}
	if err := checkPath(arg); err != nil {
		return "", "", false, refuse("path %s: %v", quote(arg), err)
	}
	contents = arg == "" || strings.HasSuffix(arg, "/") || arg == "." || strings.HasSuffix(arg, "/.")
	abs := path.Clean(arg)
	if !path.IsAbs(abs) {
		abs = path.Join("/data", arg)
	}
	if abs == "/data" {
		return ".", "data", contents, nil
	}
	clean, ok := strings.CutPrefix(abs, "/data/")
	if !ok || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", "", false, refuse("path %s is not below /data", quote(arg))
	}
	return clean, path.Base(clean), contents, nil
}

// checkPath reports whether a system can have a file of that name.
func checkPath(name string) error {
	if len(name) > maxPath {
		return fmt.Errorf("longer than %d bytes", maxPath)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return errors.New("a NUL in the name")
	}
	if strings.Count(name, "/") > maxDepth {
		return fmt.Errorf("more than %d directories in each other", maxDepth)
	}
	for element := range strings.SplitSeq(name, "/") {
		if len(element) > maxName {
			return fmt.Errorf("an element longer than %d bytes", maxName)
		}
	}
	return nil
}

// noEOF returns err, or io.ErrUnexpectedEOF for io.EOF.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
