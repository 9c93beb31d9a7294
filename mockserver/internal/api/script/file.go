package script

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/internal/api"
)

// maxScript is how large the file may be, in bytes.
const maxScript = 16 << 20

// CheckFile returns what is wrong with a file to be handed out as the script. It is read for each call: a pipe would be
// empty after the first one.
func CheckFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	case info.Size() == 0:
		return errors.New("it is empty")
	case info.Size() > maxScript:
		return fmt.Errorf("it has more than %d bytes", maxScript)
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	if err := CheckFile(path); err != nil {
		return nil, err
	}
	return safefile.ReadNamed(path, maxScript)
}

// instead is what is handed out in place of the script: a program for any Python, since what comes from this URL is
// often run without a look at it (row S16.7).
const instead = `# There is no upgrade script here: its publisher gives nobody else the right to hand it out.
import sys
sys.stderr.write(%s)
sys.exit(1)
`

// file hands out the script (rows S1.19 and S16.7).
func (a *API) file(c *api.Call) (any, error) {
	status, body := http.StatusOK, []byte(nil)
	why := "upgrademock: there is no upgrade script here: download your own copy of it, and start the emulator with " +
		a.OptionName("Script") + " naming its file\n"
	if a.Script != "" {
		data, err := readFile(a.Script)
		if err != nil {
			a.Logger.Error("the script cannot be read", "err", err)
			c.Event.Why = err.Error()
			why = "upgrademock: the file of the upgrade script cannot be read: the log of the emulator says why\n"
		}
		body = data
	}
	if body == nil {
		status, body = http.StatusNotFound, fmt.Appendf(nil, instead, strconv.QuoteToASCII(why))
		c.AddWhy("there is no script to hand out")
	}
	return api.Content(func() {
		c.W.Header().Set("Content-Length", strconv.Itoa(len(body)))
		c.Send(status, "text/plain; charset=utf-8", body)
	}), nil
}
