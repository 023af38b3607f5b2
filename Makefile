# pg_ha: high availability for PostgreSQL from inside the server
#
#	make, make install		the module, the extension and pg_ha_boot
#	make installcheck		pg_regress and TAP against what is installed
#	make check-unit			plain C: unit tests under sanitizers, simulator
#	make check-layers lint indent	habits
#	make fuzz mutants models soak	longer runs; docs/testing.md says more
#	make matrix				the same with other PostgreSQLs, as root
#	make bench				measurements
#	make install-unit		the template of a systemd unit
#
# "./check" does everything from a bare machine on.

EXTENSION = pg_ha
DATA = pg_ha--1.0.sql
PGFILEDESC = "pg_ha - high availability from inside the server"

# Plain C without PostgreSQL headers: the same objects go into the module,
# pg_ha_boot, the simulator, the unit tests and the fuzzers.
SHARED_OBJS = cluster.o plan.o lineage.o decide.o election.o start.o versions.o mixed.o switchover.o standby_cluster.o cascade.o quorum.o lease.o lease_answers.o lease_txn.o inquiry.o failsafe.o names.o cluster_json.o term_json.o member_json.o failsafe_json.o config_values_json.o problem_json.o tags_json.o config_json.o request_json.o history_json.o patroni_json.o wall_time.o remember.o hba.o hba_json.o slots_json.o standby_cluster_json.o slot_plan.o suggest.o dcs.o etcd_json.o dcs_etcd.o endpoint.o survey.o peer.o secret.o control.o
SERVER_OBJS = pg_ha.o worker.o worker_act.o worker_report.o worker_log.o worker_end.o server.o wal.o slots.o logical_slots.o settings.o hba_rules.o hba_server.o health.o fence.o handover.o ask.o documents.o record.o config.o functions.o hba_functions.o config_functions.o store_functions.o privileges.o operate.o restart_functions.o switchover_functions.o slot_functions.o standby_cluster_functions.o source_probe.o
BOOT_OBJS = $(patsubst %.c,%.o,$(sort $(wildcard boot/*.c)))

MODULE_big = pg_ha
OBJS = $(SERVER_OBJS) $(SHARED_OBJS)
# libpq is for sessions that ask a server elsewhere; the worker has no use for it.
SHLIB_LINK = -lcurl -ljansson $(libpq)

# PGXS builds a module or a program, not both; this gets pg_ha_boot installed.
SCRIPTS_built = pg_ha_boot

REGRESS = pg_ha decide reads privileges
REGRESS_OPTS = --temp-instance=./tmp_check_regress \
	--temp-config=$(srcdir)/test/regress.conf
TAP_TESTS = 1

PG_CPPFLAGS = -I$(libpq_srcdir)
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers

UNIT_TESTS = $(patsubst %.c,%,$(sort $(wildcard test/*_test.c)))
FUZZERS = $(patsubst %.c,%,$(sort $(wildcard test/fuzz_*.c)))
SANITIZED_OBJS = $(SHARED_OBJS:%.o=test/sanitized/%.o)
PURE_SOURCES = cluster.c plan.c lineage.c decide.c election.c start.c versions.c mixed.c switchover.c standby_cluster.c cascade.c quorum.c lease.c lease_answers.c lease_txn.c inquiry.c failsafe.c names.c cluster_json.c term_json.c member_json.c failsafe_json.c config_values_json.c problem_json.c tags_json.c request_json.c history_json.c patroni_json.c wall_time.c slots_json.c standby_cluster_json.c dcs.c boot/leader.c
SIM_SOURCES = test/sim.c $(sort $(wildcard test/sim_*.c))


EXTRA_CLEAN = $(BOOT_OBJS) boot/status_page.inc test/sanitized test/fuzzed test/sim test/writer test/faultlib.so \
	test/clock_shim.so \
	$(UNIT_TESTS) $(FUZZERS) tmp_check_regress tmp_check_fuzz tmp_lint

# No bitcode: it would need clang and nothing of ours is worth inlining.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Debian's PGXS tracks no dependencies, and everything is built in seconds.
$(OBJS) $(BOOT_OBJS): $(wildcard *.h boot/*.h) Makefile

$(BOOT_OBJS): override CPPFLAGS := -DFRONTEND -DPGBINDIR=\"$(bindir)\" \
	$(CPPFLAGS) -I$(includedir)

# The page as a C string
boot/status_page.o: boot/status_page.inc
boot/status_page.inc: boot/status_page.html
	sed 's/[\\"]/\\&/g; s/^/"/; s/$$/\\n"/' $< >$@

# Not $(LIBS): that asks for libraries whose -dev packages are not there.
BOOT_LIBS = -L$(pkglibdir) -lpgfeutils -lpgcommon -lpgport -lpq \
	-lcrypto -lcurl -lgnutls -ljansson -lmicrohttpd -lyaml -lm -lpthread

pg_ha_boot: $(BOOT_OBJS) $(SHARED_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDFLAGS_EX) $(BOOT_LIBS) -o $@

# The writer speaks libpq like any application, and knows nothing of pg_ha.
test/writer: test/writer.c
	$(CC) $(UNIT_CFLAGS) -O2 -I$(includedir) $< -lpq -o $@

# Under servers whose disks shall break, by LD_PRELOAD.
test/faultlib.so: test/faultlib.c
	$(CC) $(UNIT_CFLAGS) -O2 -fPIC -shared $< -ldl -o $@

# Preloaded into the processes of a node, so that its clocks lie.
test/clock_shim.so: test/clock_shim.c
	$(CC) $(UNIT_CFLAGS) -fPIC -shared $< -ldl -o $@

# The template of a systemd unit; docs/service.md says what to do with it.
UNIT_DIR = /usr/lib/systemd/system

install-unit:
	install -d '$(DESTDIR)$(UNIT_DIR)'
	sed 's,@bindir@,$(bindir),' systemd/pg_ha@.service.in \
		>'$(DESTDIR)$(UNIT_DIR)/pg_ha@.service'

installcheck: test/writer test/faultlib.so test/clock_shim.so


# ---------------------------------------------------------------------------
# Tests of the plain C part
# ---------------------------------------------------------------------------

UNIT_WARNINGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wdeclaration-after-statement $(COPT)
UNIT_CFLAGS = -std=gnu99 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -I. \
	$(UNIT_WARNINGS)
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined

test/sanitized/%.o: %.c $(wildcard *.h) Makefile
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) -c $< -o $@

$(UNIT_TESTS): %: %.c $(SANITIZED_OBJS) $(wildcard test/*.h)
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) $< $(SANITIZED_OBJS) \
		-lcurl -ljansson -lpthread -o $@

# The simulator is its own store, so dcs_etcd.c stays out.  -O2, since it has
# thousands of histories to run.
test/sim: $(SIM_SOURCES) $(PURE_SOURCES) $(wildcard *.h boot/*.h test/*.h) Makefile
	$(CC) $(UNIT_CFLAGS) -O2 $(SIM_CFLAGS) $(SIM_SOURCES) $(PURE_SOURCES) \
		-ljansson -lm -o $@

SIM_FIRST_SEED = 1
SIM_SEEDS = 2000

check-sim: test/sim
	test/sim $(SIM_FIRST_SEED) $(SIM_SEEDS)

check-unit-tests: $(UNIT_TESTS)
	@for t in $(UNIT_TESTS); do \
		echo "== $$t"; ./$$t || { echo "$$t failed" >&2; exit 1; }; \
	done

# The judge of clients' histories is shown each fault that it must find.
check-history:
	test/history_test

check-unit: check-unit-tests check-history check-sim

# A list for scripts, which must not guess what the Makefile builds.
print-%:
	@echo $($*)

FUZZ_CC = clang-14
FUZZ_SECONDS = 10

# gcc's printf is not clang's; PostgreSQL's headers have what gcc has found.
FUZZ_FLAGS = -Wno-ignored-attributes -g -O1 -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fprofile-instr-generate -fcoverage-mapping
FUZZED_OBJS = $(SHARED_OBJS:%.o=test/fuzzed/%.o)

# What is fuzzed of pg_ha_boot: plain C, and what needs PostgreSQL's frontend.
FUZZED_PLAIN = $(patsubst %.c,test/fuzzed/%.o,$(sort $(wildcard boot/patroni_*.c)))
FUZZED_FRONTEND = $(patsubst %,test/fuzzed/boot/%.o,node_file address clone_config words rest_access files)

$(FUZZED_OBJS) $(FUZZED_PLAIN): test/fuzzed/%.o: %.c $(wildcard *.h boot/*.h) Makefile
	@mkdir -p $(@D)
	$(FUZZ_CC) $(UNIT_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c $< -o $@

$(FUZZED_FRONTEND): test/fuzzed/%.o: %.c $(wildcard *.h boot/*.h) Makefile
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -DFRONTEND $(CPPFLAGS) \
		-I$(includedir) -c $< -o $@

$(filter-out test/fuzz_node_file,$(FUZZERS)): %: %.c $(FUZZED_OBJS) $(FUZZED_PLAIN)
	$(FUZZ_CC) $(UNIT_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer $^ \
		-lcurl -ljansson -lyaml -o $@

test/fuzz_node_file: %: %.c $(FUZZED_OBJS) $(FUZZED_FRONTEND)
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -DFRONTEND $(CPPFLAGS) \
		-I$(includedir) $^ $(BOOT_LIBS) -o $@

fuzz: $(FUZZERS)
	FUZZ_SECONDS=$(FUZZ_SECONDS) test/fuzz $(FUZZERS)

# Known bugs, put back in one at a time: the simulator must catch each.
mutants:
	test/mutants

models:
	test/spin


# ---------------------------------------------------------------------------
# Habits
# ---------------------------------------------------------------------------

check-layers: all
	PG_CONFIG=$(PG_CONFIG) CC='$(CC)' test/layers

lint:
	PG_CONFIG=$(PG_CONFIG) test/lint

# The types are read from the objects' debugging information.
indent: all
	test/typedefs >typedefs.list.tmp && mv typedefs.list.tmp typedefs.list
	test/indent

# Random faults, each episode in each mode with another seed.
STORM = --episodes 20

storm: all test/writer
	PG_CONFIG=$(PG_CONFIG) test/storm $(STORM)

soak: all test/writer sim-soak
	test/soak
	PG_CONFIG=$(PG_CONFIG) test/storm $(STORM)

matrix:
	test/matrix

# Measurements, which take their time.
REJOIN = --gb 5
SWITCHOVER = --rounds 50

bench: all test/writer
	PG_CONFIG=$(PG_CONFIG) bench/switchover $(SWITCHOVER)
	PG_CONFIG=$(PG_CONFIG) bench/rejoin $(REJOIN)
	PG_CONFIG=$(PG_CONFIG) bench/migrate $(MIGRATE)

# 100,000 histories, from where an earlier run was interrupted.
sim-soak: test/sim
	test/sim_soak

.PHONY: check-unit check-unit-tests check-history check-sim fuzz mutants models \
	check-layers lint indent storm soak sim-soak matrix bench install-unit
