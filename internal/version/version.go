// Package version says which version of this module a program has in it.
package version

import (
	"regexp"
	"runtime/debug"
	"sync"
	"time"
)

const module = "github.com/upgrademock/upgrademock"

// release is set by the linker in builds that are made without the repository, such as the container image's:
// -ldflags "-X github.com/upgrademock/upgrademock/internal/version.release=v1.2.3".
var release string

// String returns the version: that of a release, as in "v1.2.3"; the go command's pseudo-version of a commit, which
// has its time and the beginning of its hash; or "devel", followed by what is known of the commit.
func String() string { return current() }

// Tag returns the tag of the repository that the version is of; "" for a version that is no release.
func Tag() string { return tag(String()) }

var releases = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)\.?[0-9]+)?$`)

func tag(version string) string {
	if releases.MatchString(version) {
		return version
	}
	return ""
}

var current = sync.OnceValue(func() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	return of(info)
})

// of is the version of the module in a program with that build information, which may be the program's own module
// or one of its dependencies.
func of(info *debug.BuildInfo) string {
	if info.Main.Path != module {
		for _, dep := range info.Deps {
			if dep.Path == module {
				if dep.Replace != nil {
					return known(dep.Replace.Version)
				}
				return known(dep.Version)
			}
		}
		return "devel"
	}
	if v := known(info.Main.Version); v != "devel" {
		return v
	}
	return devel(info.Settings)
}

// known is a version that the go command knows; it calls a directory "(devel)", or nothing.
func known(version string) string {
	if version == "" || version == "(devel)" {
		return "devel"
	}
	return version
}

// devel is the version of a build that knows its commit at most: "devel-20250102150405-0123456789ab+dirty".
func devel(settings []debug.BuildSetting) string {
	version, revision, dirty := "devel", "", ""
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			revision = "-" + s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				version += "-" + t.UTC().Format("20060102150405")
			}
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	return version + revision + dirty
}
