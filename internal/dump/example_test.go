package dump_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
)

func ExampleSniff() {
	upload := fixtures.Dump("openchs.cdump.gz")
	info := dump.Sniff(bytes.NewReader(upload), int64(len(upload)))
	fmt.Println(info.Compressions, info.PostgreSQL, info.DatabaseVersion, info.DatabaseUUID)
	fmt.Println(dump.Size(int64(len(upload))))
	// Output:
	// [gzip pgdmp_custom sql] 15 8.0 5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32
	// 4.56 Kb
}

func ExampleSQL() {
	upload := fixtures.Dump("openchs.tar")
	sql, err := dump.SQL(context.Background(), bytes.NewReader(upload), int64(len(upload)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sql.Close()
	lines := bufio.NewScanner(sql)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "COPY public.") {
			fmt.Println(lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// COPY public.empty  FROM stdin;
	// COPY public.ir_config_parameter (id, create_uid, key, value) FROM stdin;
	// COPY public.ir_module_module (id, name, shortdesc, description, latest_version, state, price) FROM stdin;
	// COPY public.res_users (id, login, "Display Name", active, mood, picture, create_date) FROM stdin;
}
