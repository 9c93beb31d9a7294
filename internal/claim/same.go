package claim

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Same reports whether two names lead to one file: under one name or two, through links, by hard links. Of files
// that do not exist yet, it compares folder and name, and takes names that differ only in case, or in how accents
// are written, for the same, as there are file systems that do.
func Same(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB)
	}
	if errA == nil || errB == nil {
		return false // were they one, both would be there
	}
	dirA, baseA, okA := place(a)
	dirB, baseB, okB := place(b)
	return okA && okB && os.SameFile(dirA, dirB) && strings.EqualFold(norm.NFC.String(baseA), norm.NFC.String(baseB))
}

// place returns the folder in which a file would be made, and under which name. Links that lead to nothing yet are
// followed.
func place(path string) (dir os.FileInfo, base string, ok bool) {
	for range 40 {
		to, err := os.Readlink(path)
		folder, base := filepath.Split(path) // filepath.Dir would resolve "link/.." without looking at the link
		if err == nil {
			if !filepath.IsAbs(to) {
				to = folder + to
			}
			path = to
			continue
		}
		if folder == "" {
			folder = "."
		}
		info, err := os.Stat(folder)
		if err != nil {
			return nil, "", false
		}
		return info, base, true
	}
	return nil, "", false
}
