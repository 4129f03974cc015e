/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef REGISTERS_H
#define REGISTERS_H

/**
 * @file
 * Tests of what the specification says about a unit in legacy mode and in scalable mode, on
 * registers and tables, without the driver. If a unit deviates, the list in test_registers.c must
 * have the deviation, with the section that decides; the deviation is printed.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raw.h"

/** Passed to conform() in place of a fault reason when an interrupt was delivered. */
#define ARRIVED 0x100

extern struct raw raw; /* the unit under test; each test begins with raw_fresh() */

/** Compare what a unit did with what the specification says. A deviation that the list has under
 * the name `what` is printed; any other deviation fails the test. */
void conform(const char *what, uint64_t got, uint64_t specified);
/** End the test as skipped, because the unit's capabilities say that it lacks an optional feature.
 * @param why the capability, such as "ECAP.SMTS is clear" */
void unit_lacks(const char *why);

#define REGISTER_TESTS(X)                                               \
	X(the_capabilities_make_sense)                                  \
	X(a_source_without_root_entry_faults)                           \
	X(a_source_without_context_entry_faults)                        \
	X(reserved_bits_of_a_root_entry_fault)                          \
	X(reserved_bits_of_a_context_entry_fault)                       \
	X(a_width_that_the_unit_lacks_faults)                           \
	X(a_translation_type_that_the_unit_lacks_faults)                \
	X(each_supported_width_translates_and_ends_where_it_says)       \
	X(pass_through_leaves_addresses_alone)                          \
	X(fault_processing_disable_blocks_in_silence)                   \
	X(permission_is_what_every_level_grants)                        \
	X(a_cached_translation_grants_no_more_than_the_entries)         \
	X(leaves_of_2m_and_1g_translate)                                \
	X(reserved_bits_of_paging_entries_fault)                        \
	X(ignored_bits_of_paging_entries_are_ignored)                   \
	X(an_access_over_two_pages_stops_at_the_one_that_is_refused)    \
	X(page_selective_invalidation_reaches_its_pages)                \
	X(address_masks_reach_their_block)                              \
	X(wider_invalidations_reach_the_page)                           \
	X(an_unlinked_table_is_forgotten_with_the_hint_clear)           \
	X(context_invalidations_of_every_kind_reach_the_source)         \
	X(a_domain_is_not_another)                                      \
	X(absent_entries_that_become_present_are_seen)                  \
	X(registers_invalidate_while_the_queue_is_off)                  \
	X(a_fault_is_recorded_with_its_particulars)                     \
	X(faults_beyond_the_registers_overflow)                         \
	X(the_queue_goes_round)                                         \
	X(switching_the_queue_on_begins_at_slot_0)                      \
	X(every_descriptor_kind_is_taken)                               \
	X(a_descriptor_that_is_none_stops_the_queue_until_it_is_mended) \
	X(reserved_bits_of_descriptors_stop_the_queue)                  \
	X(a_wait_may_ask_for_an_interrupt)                              \
	X(translation_can_be_switched_off_and_on)                       \
	X(an_interrupt_goes_where_its_entry_says)                       \
	X(an_interrupt_index_beyond_the_table_faults)                   \
	X(an_absent_interrupt_entry_faults)                             \
	X(reserved_bits_of_an_interrupt_entry_fault)                    \
	X(an_interrupt_reaches_the_processor_of_its_entry)              \
	X(an_interrupt_entry_is_its_sources_alone)                      \
	X(an_msi_reaches_its_sources_entries_alone)                     \
	X(compatibility_format_passes_by_cfi)                           \
	X(interrupt_entry_invalidations_reach_the_entry)                \
	X(a_new_interrupt_table_takes_over)

/** For units that have scalable mode. */
#define SCALABLE_TESTS(X)                                                  \
	X(scalable_mode_passes_requests_through)                           \
	X(scalable_mode_translates_by_second_stage)                        \
	X(scalable_mode_translates_by_first_stage)                         \
	X(scalable_mode_nests_first_stage_in_second_stage)                 \
	X(nested_translations_go_with_a_page_of_either_stage)              \
	X(nested_tables_may_be_read_only_where_accessed_and_dirty_are_set) \
	X(first_stage_sets_accessed_and_dirty)                             \
	X(first_stage_leaves_of_2m_and_1g_translate)                       \
	X(absent_scalable_entries_fault)                                   \
	X(reserved_bits_of_scalable_entries_fault)                         \
	X(a_pasid_entry_that_is_wrong_faults)                              \
	X(second_stage_of_scalable_mode_refuses_with_its_own_reasons)      \
	X(first_stage_refuses_with_its_own_reasons)                        \
	X(fault_processing_disable_is_heeded_in_scalable_mode)             \
	X(pasid_cache_invalidations_of_every_kind_reach_the_entry)         \
	X(pasid_iotlb_invalidations_reach_first_stage)

#define REGISTER_DECLARE(name) void name(void **state);
REGISTER_TESTS(REGISTER_DECLARE)
SCALABLE_TESTS(REGISTER_DECLARE)
#undef REGISTER_DECLARE

#endif /* REGISTERS_H */
