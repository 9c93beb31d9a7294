package refserver

import (
	"errors"
	"io"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Command is a run of rsync.
type Command struct {
	Args    []string // behind the program's name, as they are run
	Dir     string   // of the request's files
	Upload  bool
	Channel ssh.Channel

	protected bool // the arguments are still to come, on the channel
}

// portPrefix is what a host with a port leaves at the beginning of a path.
var portPrefix = regexp.MustCompile(`^\d+:`)

// long are the names of the long options that a client may ask for.
var long = []string{"sender", "delete-after", "delete", "ignore-missing-args", "stats", "log-format"}

// command reads the line of an exec request.
func (t *transfer) command(line string) (*Command, error) {
	words, err := shellWords(line)
	if err != nil || len(words) < 2 || words[0] != "rsync" || words[1] != "--server" {
		return nil, errors.New("only rsync is served here")
	}
	c := &Command{Upload: t.upload, Dir: t.job.out, Args: words[1:]}
	if t.upload {
		c.Dir = t.job.in
	}
	if c.protected = slices.ContainsFunc(c.Args, protectedLetters.MatchString); c.protected {
		if t.s.is("-s not understood") {
			return nil, errors.New("rsync: no paths")
		}
		return c, nil
	}
	return c, t.police(c)
}

// protectedLetters are the letters of a client that sends the arguments on the channel.
var protectedLetters = regexp.MustCompile(`^-[a-zA-Z]*s[a-zA-Z]*(\.[a-zA-Z]*)?$`)

// protectedArgs reads the arguments on the channel, which are all but --server and --sender.
func (t *transfer) protectedArgs(c *Command, r io.Reader) error {
	args, err := readArgs(r)
	if err != nil {
		return err
	}
	for i, arg := range c.Args {
		if protectedLetters.MatchString(arg) {
			c.Args[i] = strings.Replace(arg, "s", "", 1)
		}
	}
	for _, arg := range args {
		if arg == "rsync" || slices.Contains(c.Args, arg) && strings.HasPrefix(arg, "--") {
			continue
		}
		c.Args = append(c.Args, arg)
	}
	return t.police(c)
}

// police checks the arguments, and leads their paths into the directory.
func (t *transfer) police(c *Command) error {
	if slices.Contains(c.Args, "--sender") == t.upload {
		return errors.New("the other way round, please")
	}
	args := []string{"--server"}
	dot := false
	for _, arg := range c.Args[1:] {
		name, isLong := strings.CutPrefix(arg, "--")
		name, _, _ = strings.Cut(name, "=")
		switch {
		case dot:
			inside, err := t.inside(arg)
			if err != nil {
				return err
			}
			args = append(args, inside)
		case arg == ".":
			dot = true
			args = append(args, arg)
		case isLong && slices.Contains(long, name), shortOptions.MatchString(arg):
			args = append(args, arg)
		default:
			return errors.New("rsync: not served: " + arg)
		}
	}
	if !dot {
		return errors.New("rsync: no paths")
	}
	if t.upload {
		args = slices.Insert(args, 1, "--munge-links") // a link from outside leads nowhere
	}
	c.Args = args
	return nil
}

// shortOptions are the letters that the script's rsync sends, with those of somebody who looks on.
var shortOptions = regexp.MustCompile(`^-[logDtprv]+(e\d*\.[a-zA-Z]*)?$`)

// inside is a path below /data as one below the directory.
func (t *transfer) inside(p string) (string, error) {
	if t.s.is("ports before paths not understood") && portPrefix.MatchString(p) {
		return "", errors.New("rsync: no such path: " + p)
	}
	p = portPrefix.ReplaceAllString(p, "")
	rest, below := strings.CutPrefix(p, "/data/")
	if !below || rest == "" || slices.Contains(strings.Split(rest, "/"), "..") {
		return "", errors.New("rsync: not below /data: " + p)
	}
	slash := ""
	if strings.HasSuffix(rest, "/") {
		slash = "/"
	}
	return path.Clean(rest) + slash, nil
}

// readArgs reads the arguments that come on the channel, each with a NUL behind it and an empty one at the end.
func readArgs(r io.Reader) ([]string, error) {
	var args []string
	var arg []byte
	b := make([]byte, 1)
	for total := 0; total < 64<<10; total++ {
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		switch {
		case b[0] != 0:
			arg = append(arg, b[0])
		case len(arg) == 0:
			return args, nil
		default:
			args, arg = append(args, string(arg)), nil
		}
	}
	return nil, errors.New("too many arguments")
}

// shellWords takes a line apart as a shell does that knows nothing but blanks, quotes and backslashes.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	in, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			in, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			in, quote = true, r
		case r == ' ':
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		case strings.ContainsRune("|&;<>()$`*?[\n", r):
			return nil, errors.New("this is no shell")
		default:
			in = true
			word.WriteRune(r)
		}
	}
	if in {
		words = append(words, word.String())
	}
	if quote != 0 || escaped {
		return nil, errors.New("the line has no end")
	}
	return words, nil
}

// run runs rsync, between the channel and the directory, and returns its exit status.
func (c *Command) run(program string) int {
	cmd := exec.Command(program, c.Args...)
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = c.Channel, c.Channel.Stderr()
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		io.WriteString(c.Channel.Stderr(), err.Error()+"\n")
		return 1
	}
	go func() { // until the channel ends
		io.Copy(stdin, c.Channel)
		stdin.Close()
	}()
	if err := cmd.Wait(); err == nil {
		return 0
	}
	return max(cmd.ProcessState.ExitCode(), 1)
}
