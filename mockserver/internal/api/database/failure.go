package database

import (
	"fmt"
	"maps"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// failureObjects are failures as an answer has them (row 1.9). Their keys come in alphabetical order, as in the
// documented sample.
func failureObjects(fails platform.Failures) []map[string]any {
	objects := make([]map[string]any, len(fails))
	for i, f := range fails {
		object := maps.Clone(f.Fields)
		if object == nil {
			object = make(map[string]any, 2)
		}
		object["reason"], object["message"] = f.Reason, f.Message
		objects[i] = object
	}
	return objects
}

// incomplete is the failure for an upload whose body ended early. The expected size is -1 if the client
// announced none (chunked transfer).
func incomplete(received, expected int64, cause error) platform.Failures {
	message := fmt.Sprintf("The upload ended early: %d bytes received", received)
	if expected >= 0 {
		message = fmt.Sprintf("The upload ended early: %d of %d bytes received", received, expected)
	}
	return platform.Failures{{
		Reason: platform.ReasonDumpIncomplete, Message: message, Fields: sizes(received, expected),
		Why: fmt.Sprintf("reading the body: %v", cause),
	}}
}

// partial is the failure for an upload with a Content-Range (row 4.8): its body is a part of the dump. The
// expected size is -1 if the header does not say how large the dump is.
func partial(received, expected int64, contentRange string) platform.Failures {
	return platform.Failures{{
		Reason:  platform.ReasonDumpIncomplete,
		Message: "The upload is a part of the dump only; send the dump whole",
		Fields:  sizes(received, expected),
		Why: fmt.Sprintf("Content-Range: %s says that the body is a part (curl -C sends one); "+
			"over HTTPS a dump cannot be continued, over SFTP it can", contentRange),
	}}
}

func sizes(received, expected int64) map[string]any {
	if expected < 0 {
		return map[string]any{"received": received, "expected_size": nil}
	}
	return map[string]any{"received": received, "expected_size": expected}
}
