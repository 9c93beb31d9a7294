package raw

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Payload is bytes as recordings keep them.
type Payload []byte

// MarshalJSON encodes text so that it can be read, as "t:" and the text, and other bytes as "b:" and base64.
func (p Payload) MarshalJSON() ([]byte, error) {
	if utf8.Valid(p) {
		return json.Marshal("t:" + string(p))
	}
	return json.Marshal("b:" + base64.StdEncoding.EncodeToString(p))
}

// UnmarshalJSON decodes what MarshalJSON encodes.
func (p *Payload) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if rest, ok := strings.CutPrefix(s, "t:"); ok {
		*p = Payload(rest)
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "b:"))
	*p = b
	return err
}
