package control

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"

	"github.com/gorilla/mux"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func (a api) about(http.ResponseWriter, *http.Request, query) (any, error) {
	about := a.Emulator.About()
	about.Clock, about.Dropped, about.Last = a.Emulator.Clock(), a.Journal.Dropped(), a.Journal.Last()
	about.First = a.Journal.First()
	return about, nil
}

func (a api) requests(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	page, total := a.Requests.List(Selection{
		Contract: q.Contract, State: q.state, Found: a.finder(q.search), Newest: q.newest, After: int64(q.After),
		Limit: q.Limit, View: q.view,
	})
	if page == nil {
		page = []Request{}
	}
	answer := map[string]any{"requests": page, "total": total}
	if n := len(page); n > 0 && n == q.Limit {
		answer["next"] = page[n-1].ID
	}
	return answer, nil
}

func (a api) request(_ http.ResponseWriter, r *http.Request, q query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	request, err := a.Requests.Request(id, q.view)
	return request, a.failed(http.StatusInternalServerError, err)
}

func (a api) timeline(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	timeline, err := a.Requests.Timeline(id)
	return timeline, a.failed(http.StatusInternalServerError, err)
}

// retraced answers with a scenario by which the same happens again.
func (a api) retraced(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	text, err := a.Requests.Retrace(id)
	return writeYAML(w, text, a.failed(http.StatusInternalServerError, err))
}

func (a api) files(_ http.ResponseWriter, r *http.Request, q query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	files, err := a.Requests.Files(id)
	return pageOf("files", files, q), a.failed(http.StatusInternalServerError, err)
}

// file hands out a file of a request. It is no download of a client: neither faults nor the journal know of it.
func (a api) file(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	name := mux.Vars(r)["path"]
	f, err := a.Requests.OpenFile(r.Context(), id, name)
	if err != nil {
		return nil, a.failed(http.StatusInternalServerError, err)
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(name)}))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil, errWritten
	}
	if _, err := io.Copy(w, f); err != nil {
		panic(http.ErrAbortHandler) // half a file must not be taken for a whole one
	}
	return nil, errWritten
}

// fault triggers a fault once: one of the request's scenario, or any other.
func (a api) fault(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		Index *int            `json:"index"`
		Fault json.RawMessage `json:"fault"`
	}
	const example = `{"index": 0} for a fault of the request's scenario, or {"fault": {"on": "status", "reset": true}}`
	if err := decode(r, &body, example); err != nil {
		return nil, err
	}
	if (body.Index == nil) == (body.Fault == nil) {
		return nil, badRequest("wanted either an index or a fault: JSON such as %s", example)
	}
	request, err := a.Requests.Request(id, ViewBrief)
	if err != nil {
		return nil, a.failed(http.StatusInternalServerError, err)
	}
	var fault *scenario.Fault
	if body.Index != nil {
		fault, err = a.Requests.FaultOf(id, *body.Index)
	} else {
		fault, err = parseFault(request.API, body.Fault)
	}
	if err == nil {
		err = a.Requests.Inject(id, fault)
	}
	if err != nil {
		return nil, a.failed(http.StatusBadRequest, err)
	}
	timeline, err := a.Requests.Timeline(id)
	return timeline, a.failed(http.StatusInternalServerError, err)
}

// parseFault reads a fault as a scenario of that API has it.
func parseFault(api string, text json.RawMessage) (*scenario.Fault, error) {
	data, err := json.Marshal(map[string]any{
		"name": "by hand", "when": map[string]string{"api": api}, "faults": []json.RawMessage{text},
	})
	if err != nil {
		return nil, err
	}
	script, err := scenario.Parse("", data)
	if err != nil {
		if wrong, ok := errors.AsType[*scenario.Error](err); ok {
			for i := range wrong.Mistakes { // whose place is one in a file that nobody sees
				wrong.Mistakes[i].Line, wrong.Mistakes[i].Column = 0, 0
			}
		}
		return nil, err
	}
	return &script.Faults[0], nil
}

func (a api) endAccess(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	if err := a.Requests.EndAccess(id); err != nil {
		return nil, a.failed(http.StatusInternalServerError, err)
	}
	request, err := a.Requests.Request(id, ViewHidden)
	return request, a.failed(http.StatusInternalServerError, err)
}
