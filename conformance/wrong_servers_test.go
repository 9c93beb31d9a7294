package conformance_test

func wrongServers() map[string]wrong {
	return map[string]wrong{
		"ignores APPEND": {"5.12", saboteur{bends: []string{"ignores APPEND"}},
			"sftp/resume-append sftp/append sftp/append-same-offset sftp/append-out-of-order sftp/append-backwards sftp/append-behind sftp/append-two-handles"},
		"a dump sent over SFTP is not the request's": {"5.12, 6.1", saboteur{bends: []string{"SFTP apart"}}, "process/sftp-dump"},
	}
}
