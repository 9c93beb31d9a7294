package script

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// The forms of a failure (rows S1.10 and S1.11). Which failures have which is assumed (row S1.12): what the platform
// decides about a call is in the result, and what is no call, or broke in the platform, is an error.
const (
	formResult = "result"
	formError  = "error"
)

// envelope is an answer (rows S1.9 to S1.11). Its result is an object or absent.
type envelope struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

// rpcError is a failure in the way that Odoo itself answers (row S1.12).
type rpcError struct {
	Code    int       `json:"code"`
	Message string    `json:"message"`
	Data    errorData `json:"data"`
}

type errorData struct {
	Name      string         `json:"name"`
	Debug     string         `json:"debug"`
	Message   string         `json:"message"`
	Arguments []string       `json:"arguments"`
	Context   map[string]any `json:"context"`
}

// failed is a failure in form 1.
type failed struct {
	Error string `json:"error"`
}

// done is the result of a call that has nothing to say.
type done struct{}

// jsonType is the Content-Type of all answers (row S1.7).
const jsonType = "application/json; charset=utf-8"

// write encodes an answer: the only place where the envelope is made.
func (a *API) write(c *api.Call, value any, err error) {
	answer := envelope{Version: "2.0", Result: value}
	if own, ok := c.Own.(*own); ok {
		answer.ID = own.call.id
	}
	if err != nil {
		a.fail(c, &answer, err)
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil { // only a script's value could do that, and those were checked
		panic("script: an answer that cannot be encoded: " + err.Error())
	}
	c.W.Header().Set("Content-Length", strconv.Itoa(body.Len())) // row S1.6
	c.Send(http.StatusOK, jsonType, body.Bytes())
}

// fail puts a failure into an answer, and notes it for the journal.
func (a *API) fail(c *api.Call, answer *envelope, err error) {
	fails, form, name := failuresOf(err)
	c.AddWhy(fails.Why())
	texts := make([]string, len(fails))
	for i, f := range fails {
		texts[i] = f.Message
		c.Event.Failures = append(c.Event.Failures, cmp.Or(f.Reason, reasonScripted))
	}
	text := strings.Join(texts, "; ")
	if form == formResult {
		answer.Result = failed{text}
		return
	}
	answer.Result = nil
	answer.Error = &rpcError{Code: http.StatusOK, Message: "Odoo Server Error", Data: errorData{
		Name: name, Debug: name + ": " + text, Message: text, Arguments: []string{text}, Context: map[string]any{},
	}}
}

// failuresOf are the failures of an error, and the form in which they are answered.
func failuresOf(err error) (fails platform.Failures, form, name string) {
	switch err := err.(type) {
	case platform.Failures:
		form, name = formResult, "odoo.exceptions.UserError"
		for _, f := range err {
			if f.Reason == platform.ReasonServerError {
				form = formError
			}
		}
		for _, f := range err {
			if f.Form != "" { // the scenario says so
				form = f.Form
			}
		}
		return err, form, name
	case badCall:
		return platform.Failures{{Reason: reasonBadCall, Message: err.text, Why: err.text}}, formError,
			"werkzeug.exceptions.BadRequest"
	}
	const message = "Something went wrong; try again later"
	return platform.Failures{platform.ServerError(message, err)}, formError, "odoo.exceptions.UserError"
}

// Reasons for the journal alone: answers of this API have none.
const (
	reasonBadCall  = "CALL:INVALID"     // of a call that is none
	reasonScripted = "SCENARIO:FAILURE" // of a failure that a scenario wants
)
